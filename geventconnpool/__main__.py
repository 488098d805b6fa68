"""``python -m geventconnpool``: see :mod:`geventconnpool.cli`."""

import sys

from geventconnpool.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
