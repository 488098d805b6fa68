"""``python benchmarks/memory.py --rounds 60`` asks one question: see README.rst."""

import sys

from geventconnpool.cli import main

sys.exit(main(["bench", "memory", *sys.argv[1:]]))
