"""`python -m tests.instrumented [arguments of pytest]`, which is `make instrumented`.

The engine's tests run once, on a build that both sanitizers watch and whose lines are counted.
"""

from __future__ import annotations

import sys

from tests.instrumented.build import build
from tests.instrumented.coverage import forget, unexplained
from tests.instrumented.rules import run_rules
from tests.instrumented.sanitize import environment, leak, with_lines


def main(arguments: list[str]) -> int:
    """Build, run the tests, judge their lines, look for leaks; the exit code."""
    tree = build()
    forget(tree)
    failed, said = run_rules(tree, environment(), arguments)
    print(with_lines(tree, said))
    return failed or int(bool(unexplained(tree))) or leak(tree)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
