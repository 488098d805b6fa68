"""``python benchmarks/liveness.py --rounds 60`` asks one question: see README.rst."""

import sys

from geventconnpool.cli import main

sys.exit(main(["bench", "liveness", *sys.argv[1:]]))
