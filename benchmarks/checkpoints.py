"""What a checkpoint costs: hashing records into a topic's tree.

    python -m benchmarks.checkpoints [--records N] [--bytes N]

Prints CPU time a record, best of three. The root is checked against one made from the edge again.
"""

from __future__ import annotations

import argparse
import random
import time

from exchange.audit.checkpoints import record_leaf
from exchange.audit.merkle import Tree
from exchange.log.protocol import Record

ROUNDS = 3


def main() -> None:
    """Measures and prints one line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--bytes", type=int, default=400)
    given = parser.parse_args()
    chance = random.Random(1)
    rows = [Record(at, at, chance.randbytes(given.bytes)) for at in range(given.records)]
    spent = []
    for _ in range(ROUNDS):
        tree, begun = Tree(), time.process_time()
        for row in rows:
            tree.push(record_leaf(row))
        spent.append(time.process_time() - begun)
        assert Tree(tree.size, tree.edge).root() == tree.root()
    print(
        f"{given.records} records of {given.bytes} bytes: "
        f"{min(spent) / given.records * 1e6:.2f} us a record, {len(tree.edge)} hashes of state"
    )


if __name__ == "__main__":
    main()
