"""Real servers, started for each test, and pools of real client libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from availability import require_module
from gevent import monkey

pytest.register_assert_rewrite("real_contract", "real_world")


@pytest.fixture(scope="session")
def cooperative() -> None:
    """For tests of libraries that block the whole process unless it is patched."""
    if not monkey.is_module_patched("socket"):
        pytest.skip("the clients block unless patched: set GEVENTCONNPOOL_TEST_PATCHED=1")


@pytest.fixture(scope="session")
def authority() -> Any:
    return require_module("trustme").CA()


@pytest.fixture(params=["clear", "tls"])
def over_tls(request: pytest.FixtureRequest) -> bool:
    return request.param == "tls"


@pytest.fixture
def pools() -> Iterator[list[Any]]:
    """Is closed in the end."""
    pools: list[Any] = []
    yield pools
    for pool in pools:
        pool.close()
