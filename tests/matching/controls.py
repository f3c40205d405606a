"""What accounts and participants may do, set at random."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from matching.layout import AccountParameter, Command
from matching.parameters import ACCOUNT_PARAMETER_RANGE
from tests.matching.frames import command

if TYPE_CHECKING:
    from tests.matching.flows import Flow

ACCOUNTS = (1, 2, 3, 4, 5, 4_000_000_000, 99)
INSTRUMENTS = (1, 2, 65_535, 0, 9)
PARTICIPANTS = (10, 20, 30)  # of the accounts of every flow
CONTROLS = tuple(AccountParameter)


def control(flow: Flow, ease: int = 16) -> bytes:
    """What an account or a participant may do; the more ease the more often all again."""
    r = flow.random
    parameter = r.choice(CONTROLS)
    low, high = ACCOUNT_PARAMETER_RANGE[parameter]
    value = r.choice((*(low,) * ease, high, low - 1, high + 1, _tight(r, parameter)))
    return command(
        r.choice((Command.ACCOUNT_PARAMETER, Command.PARTICIPANT_PARAMETER)),
        order_type=parameter if r.random() < 0.9 else r.choice((0, 6, 255)),
        account_id=r.choice(ACCOUNTS),
        instrument_id=r.choice(INSTRUMENTS),
        quantity=value,
        order_id=r.choice((*PARTICIPANTS, *PARTICIPANTS, 0, 77)),
        **flow.session(),
    )


def _tight(r: Random, parameter: AccountParameter) -> int:
    """A value soon reached by accounts that begin with 10**7 tonnes of each instrument."""
    of_one = 10**7 + r.randint(-200, 2_000)
    return {
        AccountParameter.SUSPENDED: 1,
        AccountParameter.STP_GROUP: 3,
        AccountParameter.ORDER_RATE: r.choice((1, 3, 40)),
        AccountParameter.POSITION_MAX: of_one + 10**7 * r.choice((2, 5, 8)),
        AccountParameter.INSTRUMENT_HOLDING_MAX: of_one,
    }[parameter]
