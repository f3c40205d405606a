"""`python -m tests.instrumented sanitize|coverage [arguments of pytest]`."""

from __future__ import annotations

import sys

from tests.instrumented.coverage import coverage
from tests.instrumented.sanitize import sanitize

COMMANDS = {"sanitize": sanitize, "coverage": coverage}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
