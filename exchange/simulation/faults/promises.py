"""The promises of the venue, and what is raised when one is broken."""

from __future__ import annotations

PROMISES = {
    "P1": "an acknowledged message is on the log and has one outcome",
    "P2": "effects happen once, and everybody is told the same",
    "P3": "the same log gives the same events, and the reference engine agrees",
    "P4": "units and money are conserved",
    "P5": "delivery only against payment",
    "P6": "the offset cap is kept to the tonne, and vintages and the last day to surrender",
    "P7": "who follows market data has the engine's book at every sequence",
    "P8": "after a halt or a kill nothing of its target trades",
    "P9": "a refusal is one of the log's, with the reason that the log gives",
    "P10": "history cannot be altered unseen",
    "P11": "everything goes on once faults stop",
    "P12": "what operators did stands on the log, and two persons decide what loosens",
    "P13": "auctions, calls and collars go by their rules, and everybody is told so",
    "PX": "no process ends that must go on, and nothing fails unforeseen",
}


class BrokenPromiseError(Exception):
    """A promise is broken: which one, and the event that shows it."""

    def __init__(self, promise: str, event: str) -> None:
        super().__init__(f"{promise} ({PROMISES[promise]}): {event}")
        self.promise = promise
        self.event = event


def require(holds: object, promise: str, event: str) -> None:
    """BrokenPromiseError unless it holds. O(1)."""
    if not holds:
        raise BrokenPromiseError(promise, event)
