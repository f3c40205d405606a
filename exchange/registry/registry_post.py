"""How a registry speaks to another: a message is an instruction on `orders` of the other market."""

from __future__ import annotations

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError
from exchange.registry.saga import Message, from_notes, to_notes
from exchange.registry.standings import Outgoing
from exchange.settings import NOTE_BYTES_MAX


class Post:
    """Sends the messages of one market's registry. Each O(1)."""

    def __init__(self, holdings: Holdings, market: Market, venue: Venue) -> None:
        self._holdings = holdings
        self._market = market
        self._venue = venue
        self._partitions = {item.code: item.partition for item in venue.market}

    def knows(self, market: str) -> bool:
        """Whether there is such a market to speak to."""
        return market in self._partitions

    def ask(
        self, to: tuple[str, int], instrument: Instrument, quantity: int, message: Message
    ) -> None:
        """A request to the registry of the credits, about an account of it: (market, account)."""
        market, account = to
        is_here = market == self._market.code
        there = instrument if is_here else self._venue.twin_of(instrument)
        self._send(market, Instruction.OFFSET_REQUEST, account, there.id, quantity, message)

    def answer(self, quantity: int, message: Message) -> None:
        """What the registry of the credits says to that which asked."""
        told = (message.account, message.instrument_id, quantity)
        self._send(message.origin, Instruction.OFFSET_ANSWER, *told, message)

    def _send(
        self,
        market: str,
        kind: Instruction,
        account: int,
        instrument_id: int,
        quantity: int,
        message: Message,
    ) -> None:
        self._holdings.send(
            Outgoing(
                0,
                self._partitions[market],
                int(kind),
                account,
                instrument_id,
                quantity,
                message.surrender_id,
                to_notes(message, NOTE_BYTES_MAX),
            )
        )


def message_of(item: InstructionPassed) -> Message:
    """The message of an instruction; RefusalError when its text is none. O(text)."""
    try:
        return from_notes(item.notes, item.argument)
    except ValueError as error:
        raise RefusalError(RegistryReason.OFFSET_OUT_OF_STEP, str(error)) from error


def out_of_step(item: InstructionPassed, message: Message) -> RefusalError:
    """A message that fits nothing which is known here."""
    return RefusalError(
        RegistryReason.OFFSET_OUT_OF_STEP,
        f"{message.word} for surrender {item.argument} of {message.origin[:16]}, account "
        f"{item.account_id}, {item.quantity} t, fits none that is known here",
    )
