"""``python benchmarks/listening.py --rounds 60`` asks one question: see README.rst."""

import sys

from geventconnpool.cli import main

sys.exit(main(["bench", "listening", *sys.argv[1:]]))
