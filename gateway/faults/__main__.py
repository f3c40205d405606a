"""`python -m gateway.faults SEED ...`: the digest of each, one after the other, to compare runs."""

from __future__ import annotations

import sys

from gateway.faults.run import run_seed

if __name__ == "__main__":
    for seed in sys.argv[1:]:
        result = run_seed(int(seed))
        sys.stdout.write(f"{result.seed} {result.callbacks} {result.digest}\n")
