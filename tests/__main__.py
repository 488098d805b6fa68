"""Run the suite both ways: unpatched, and with everything monkey-patched.

python -m tests [arguments for pytest]

What patching changes shows in few cases. So unless arguments say otherwise, the second run leaves
out what goes through very many (``slow``), and the demo, which patches nothing by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    worst = 0
    for patched, choice in (("", []), ("1", ["-m", "not slow and not demo"])):
        environment = {**os.environ, "GEVENTCONNPOOL_TEST_PATCHED": patched}
        command = [sys.executable, "-m", "pytest", *(sys.argv[1:] or choice)]
        worst = max(worst, subprocess.call(command, cwd=ROOT, env=environment))
    return worst


if __name__ == "__main__":
    sys.exit(main())
