"""``python benchmarks/prefill.py --rounds 60`` asks one question: see README.rst."""

import sys

from geventconnpool.cli import main

sys.exit(main(["bench", "prefill", *sys.argv[1:]]))
