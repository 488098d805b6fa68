"""What a test needs that may not be here: servers, client libraries, rights.

A newcomer without them gets skips that say what is missing. With
``GEVENTCONNPOOL_REQUIRE_SERVERS=1``, as in CI, what is missing is a failure.
"""

from __future__ import annotations

import importlib
import os
import shutil
from types import ModuleType
from typing import Any, NoReturn

import pytest

REQUIRED = os.environ.get("GEVENTCONNPOOL_REQUIRE_SERVERS") == "1"


def missing(what: str) -> NoReturn:
    """The test cannot run without *what*."""
    if REQUIRED:
        pytest.fail(f"missing here: {what}", pytrace=False)
    pytest.skip(f"missing here: {what}")


def require_program(name: str, *folders: str) -> str:
    """The path of program *name*, on PATH or in one of *folders*."""
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    return path or missing(f"program {name}")


def require_module(name: str) -> Any:
    """Module *name*, imported."""
    try:
        module: ModuleType = importlib.import_module(name)
    except ImportError:
        missing(f"Python library {name}")
    return module
