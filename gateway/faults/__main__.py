"""`python -m gateway.faults SEED`: the digest of one seed, to compare two runs of it."""

from __future__ import annotations

import sys

from gateway.faults.run import run_seed

if __name__ == "__main__":
    result = run_seed(int(sys.argv[1]))
    sys.stdout.write(f"{result.seed} {result.callbacks} {result.digest}\n")
