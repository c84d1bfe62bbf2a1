"""``python -m interchange``: see :mod:`interchange.cli`."""

from __future__ import annotations

import sys

from interchange.cli import main

if __name__ == "__main__":
    sys.exit(main())
