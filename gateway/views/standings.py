"""What accounts are and which transfers wait: a pure projection of `registry`."""

from __future__ import annotations

from exchange.messages.registry import AccountChanged, RegistryItem, TransferEnded, TransferWaits


class AccountStanding:
    """Type, representatives, trusted list, blocks and binding of one account."""

    __slots__ = (
        "account_type", "blocks", "bound_account", "bound_market", "confirmed", "eutl_code",
        "needs_two", "proposed", "representatives", "trusted",
    )  # fmt: skip

    def __init__(self) -> None:
        self.account_type = ""
        self.eutl_code = ""
        self.confirmed = 0  # the last year for which its data were confirmed
        self.needs_two = False
        self.blocks: dict[int, AccountChanged] = {}  # those that stand, by instruction
        self.bound_market, self.bound_account = "", 0
        self.representatives: set[str] = set()
        self.trusted: dict[int, int] = {}  # account: from when, ns UTC
        self.proposed: dict[int, str] = {}  # account: the key that proposed it

    def apply(self, item: AccountChanged) -> None:
        """One act. O(1)."""
        match item.kind:
            case "SET_ACCOUNT_TYPE":
                self.account_type, self.eutl_code = item.text, item.eutl_code
                self.needs_two = item.needs_two
            case "APPOINT_REPRESENTATIVE":
                self.representatives.add(item.text)
            case "DISMISS_REPRESENTATIVE":
                self.representatives.discard(item.text)
            case "BLOCK_ACCOUNT":
                self.blocks[item.instruction_id] = item
            case "UNBLOCK_ACCOUNT" if item.other_account:
                self.blocks.pop(item.other_account, None)
            case "UNBLOCK_ACCOUNT":  # of before each block ended by itself
                self.blocks.clear()
            case "CONFIRM_ACCOUNT":
                self.confirmed = max(self.confirmed, item.other_account)
            case "PROPOSE_TRUST":
                self.proposed[item.other_account] = item.given_by
            case "APPROVE_TRUST":
                self.proposed.pop(item.other_account, None)
                self.trusted[item.other_account] = item.effective_ns
            case "REMOVE_TRUST":
                self.proposed.pop(item.other_account, None)
                self.trusted.pop(item.other_account, None)
            case "BIND_ACCOUNT":
                self.bound_market = item.text if item.other_account else ""
                self.bound_account = item.other_account


class Standings:
    """Every account of a market of which something was told, and what waits there."""

    def __init__(self) -> None:
        self.accounts: dict[int, AccountStanding] = {}
        self.transfers: dict[int, TransferWaits] = {}  # by instruction, oldest first

    def apply(self, item: RegistryItem) -> None:
        """One item of a registry record. O(1)."""
        if isinstance(item, AccountChanged):
            self.accounts.setdefault(item.account_id, AccountStanding()).apply(item)
        elif isinstance(item, TransferWaits):
            self.transfers[item.instruction_id] = item
        elif isinstance(item, TransferEnded):
            self.transfers.pop(item.instruction_id, None)
