"""What is answered: accounts with who is trusted, and transfers under way."""

from __future__ import annotations

import msgspec


class TrustedRow(msgspec.Struct, frozen=True):
    """An account on a trusted list, or proposed for it."""

    account: int
    effective_ns: int  # it counts from then on, ns UTC; 0: proposed, not approved
    proposed_by: str = ""  # who cannot approve it: the key, and its person in brackets


class BlockRow(msgspec.Struct, frozen=True):
    """A block of an account that stands."""

    block_id: int  # the instruction that set it: what its end names
    reference: str
    set_by: str  # the key
    time_ns: int


class AccountRow(msgspec.Struct, frozen=True):
    """An account of the registry."""

    market: str
    account: int
    name: str  # of the account
    account_type: str  # a code of the rulebook; "" = never told
    eutl_code: str  # code of its type in the EUTL, such as 100-7; "" = it has none
    needs_two: bool  # a second person approves transfers, and what the registry names
    block: str  # references of its blocks, "; " between them; "" = not blocked
    bound_market: str  # of the account in the other registry
    bound_account: int  # 0 = none
    representatives: list[str]  # ids of their keys
    trusted: list[TrustedRow]  # accounts on its trusted list, or proposed for it
    confirmed: int = 0  # the last year for which its data were confirmed; 0 = never
    blocks: list[BlockRow] = []  # those that stand, oldest first


class AccountList(msgspec.Struct, frozen=True):
    """The accounts that the key sees."""

    accounts: list[AccountRow]


class TransferRow(msgspec.Struct, frozen=True):
    """A transfer that waits, or a surrender, issuance or allocation that needs a second person."""

    market: str
    transfer_id: int  # its instruction id: what an approval or a cancel names
    account: int
    to_account: int
    symbol: str
    quantity: int
    state: str  # PROPOSED: another person has to approve it; WAITING: for its time
    given_by: str  # who gave it
    approved_by: str  # who approved it; "" = nobody yet
    due_ns: int  # carried out then, or (PROPOSED) forgotten then
    cancel_until_ns: int  # until then it can be cancelled, ns UTC
    kind: str = "TRANSFER"  # or another act of two: SURRENDER, ISSUE, UNFREEZE, ...
    year: int = 0  # of a surrender, issuance, allocation: of compliance, the vintage, of monitoring
    block_id: int = 0  # UNBLOCK_ACCOUNT: the block that would end


class TransferList(msgspec.Struct, frozen=True):
    """What waits from or to the accounts that the key sees, oldest first."""

    transfers: list[TransferRow]  # what waits for a second person or its time
