"""What an account may do, or a participant with all its accounts, set while the market runs.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from matching.layout import AccountParameter, Event, Reason
from matching.parameters import ACCOUNT_PARAMETER_RANGE, OF_PARTICIPANTS
from matching.reference.accounts import Controls
from matching.reference.records import CommandRecord
from matching.reference.state import State

_PARAMETERS = frozenset(AccountParameter)


def account_parameter(state: State, c: CommandRecord) -> Reason:
    """ACCOUNT_PARAMETER. O(1)."""
    reason = _refusal(c, _PARAMETERS)
    if reason:
        return reason
    account = state.accounts[c.account_id]
    is_of_holding = c.order_type == AccountParameter.INSTRUMENT_HOLDING_MAX
    if is_of_holding:
        state.holding(c.account_id, c.instrument_id).holding_max = c.quantity
    elif c.order_type == AccountParameter.STP_GROUP:
        account.stp_group = c.quantity
    else:
        _set(account.controls, c.order_type, c.quantity)
    state.emit(
        Event.ACCOUNT_CHANGED,
        account_id=c.account_id,
        instrument_id=c.instrument_id if is_of_holding else 0,
        order_type=c.order_type,
        quantity=c.quantity,
    )
    return Reason.NONE


def participant_parameter(state: State, c: CommandRecord) -> Reason:
    """PARTICIPANT_PARAMETER: a participant is known by its accounts. O(accounts)."""
    participants = {account.participant for account in state.accounts.values()}
    if c.order_id == 0 or c.order_id not in participants:
        return Reason.UNKNOWN_ACCOUNT
    reason = _refusal(c, OF_PARTICIPANTS)
    if reason:
        return reason
    controls = state.participants.setdefault(c.order_id, Controls())
    _set(controls, c.order_type, c.quantity)
    said = {"order_type": c.order_type, "quantity": c.quantity, "order_id": c.order_id}
    state.emit(Event.PARTICIPANT_CHANGED, **said)
    return Reason.NONE


def _refusal(c: CommandRecord, known: frozenset[AccountParameter]) -> Reason:
    if c.order_type not in known:
        return Reason.UNKNOWN_PARAMETER
    low, high = ACCOUNT_PARAMETER_RANGE[AccountParameter(c.order_type)]
    return Reason.NONE if low <= c.quantity <= high else Reason.PARAMETER_OUT_OF_RANGE


def _set(controls: Controls, parameter: int, value: int) -> None:
    if parameter == AccountParameter.SUSPENDED:
        controls.suspended = value
    elif parameter == AccountParameter.POSITION_MAX:
        controls.position_max = value
    else:
        controls.order_rate = value
        if value == 0:
            controls.rate_count = controls.rate_second = 0
