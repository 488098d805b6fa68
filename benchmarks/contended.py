"""``python benchmarks/contended.py --rounds 60`` asks one question: see README.rst."""

import sys

from geventconnpool.cli import main

sys.exit(main(["bench", "contended", *sys.argv[1:]]))
