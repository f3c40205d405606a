"""Types of `gateway.requests`."""

from typing import NamedTuple

from exchange.messages.frames import EventPart
from exchange.messages.reasons import EdgeReason

PARTICIPANT_SESSIONS: int

class Heard:
    @property
    def position(self) -> int: ...
    @property
    def reason(self) -> int: ...
    @property
    def order_id(self) -> int: ...

class Original(NamedTuple):
    heard: Heard | None
    fault: EdgeReason | None = None
    participant: int = 0

class Requests:
    def __init__(self, remembered_max: int = ...) -> None: ...
    def note(self, offset: int, frame: bytes) -> None: ...
    def refusal(self, session: int, ref: int) -> int: ...
    def proposed(self, part: EventPart) -> dict[int, int]: ...
    def answered(self, part: EventPart) -> dict[int, Original]: ...
