"""How long the fault tests are: `make faults` runs the long table, all else the short one."""

from __future__ import annotations

import os

LONG = os.environ.get("FAULTS") == "long"
