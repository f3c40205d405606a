"""A proof that one record is under a signed checkpoint, for who has neither log nor vault."""

from __future__ import annotations

from pathlib import Path

import msgspec

from exchange.audit.checkpoints import record_leaf
from exchange.audit.merkle import root_from, siblings
from exchange.audit.signed_note import split
from exchange.audit.vault import Vault, read_note
from exchange.log.protocol import Log, Partition, records
from exchange.messages.checkpoints import parse_checkpoint
from exchange.reference.venue import Market


class Proof(msgspec.Struct, frozen=True):
    """A record, the hashes beside its way to the root, and the note that signs the root."""

    market: str
    topic: str
    offset: int
    append_ns: int
    value: bytes  # base64 in JSON
    size: int  # records of the topic under the checkpoint
    path: tuple[str, ...]  # hex, from the leaf up
    checkpoint: str  # the signed note


async def prove_record(
    log: Log, market: Market, topic: str, offset: int, vault: Vault, note_path: Path | None
) -> Proof:
    """The proof of a record under a note, by default the vault's newest. O(records), memory O(1).

    ValueError when the note does not cover the record or the vault's hashes do not give its root,
    OSError, LogError.
    """
    number = vault.newest()
    if note_path is None and not number:
        raise ValueError(f"{vault.path}: no checkpoint there")
    note = read_note(note_path) if note_path is not None else vault.note(number)
    checkpoint = parse_checkpoint(split(note)[0])
    head = next((tree for tree in checkpoint.trees if tree.topic == topic), None)
    if checkpoint.market != market.code or head is None or offset >= head.size:
        covered = f"{head.size} records of {topic}" if head else f"nothing of {topic}"
        raise ValueError(
            f"checkpoint {checkpoint.number} of {checkpoint.market} covers {covered}: not {offset}"
        )
    spans = siblings(offset, head.size)
    path = [vault.tree(topic, begin, end).root() for begin, end in spans]
    async for record in records(log, Partition(topic, market.partition), offset, offset + 1):
        if root_from(record_leaf(record), offset, head.size, path) != head.root:
            raise ValueError(
                f"{topic} record {offset} and the hashes of {vault.path} do not give the root of "
                f"checkpoint {checkpoint.number}: exchange verify --against says what is wrong"
            )
        return Proof(
            market.code, topic, offset, record.append_ns, record.value, head.size,
            tuple(part.hex() for part in path), note,
        )  # fmt: skip
    raise ValueError(f"{topic} has no record {offset}")
