"""Checks a proof of `exchange prove` with nothing of the venue's: hashes and one signature.

    python check_proof.py PROOF.json PUBLIC.key [KEPT.note]

PUBLIC.key is the line that the venue gave you; KEPT.note a checkpoint that you kept, so that the
venue cannot show you another one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(data: bytes) -> bytes:
    """The one hash that is used."""
    return hashlib.sha256(data).digest()


def check(proof: dict[str, object], key_line: str, kept: str = "") -> str:
    """What is proved, in words; ValueError or InvalidSignature when it is not."""
    note = str(proof["checkpoint"])
    if kept and kept != note:
        raise ValueError("the proof is under another checkpoint than the one that was kept")
    name, _, key = key_line.strip().split("+", 2)
    text, _, under = note.rpartition("\n\n")
    line = next(line for line in under.splitlines() if line.split(" ")[1] == name)
    signature = base64.b64decode(line.split(" ")[2])[4:]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    public.verify(signature, f"{text}\n".encode())

    index, size = int(str(proof["offset"])), int(str(proof["size"]))
    append_ns = int(str(proof["append_ns"])).to_bytes(8, "big")
    root = sha256(b"\x00" + append_ns + base64.b64decode(str(proof["value"])))
    at, last = index, size - 1
    for part in proof["path"]:  # type: ignore[attr-defined]
        sibling = bytes.fromhex(part)
        if at & 1 or at == last:
            root = sha256(b"\x01" + sibling + root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = sha256(b"\x01" + root + sibling)
        at, last = at >> 1, last >> 1
    if last or f"tree {proof['topic']} {size} {root.hex()}" not in text.splitlines():
        raise ValueError("the record is not under this checkpoint")
    return f"{proof['market']} {proof['topic']} record {index} is under the checkpoint of {name}"


def main(arguments: list[str]) -> int:
    """0 when the proof holds."""
    proof = json.loads(Path(arguments[0]).read_text("utf-8"))
    kept = Path(arguments[2]).read_text("utf-8") if len(arguments) > 2 else ""
    print(check(proof, Path(arguments[1]).read_text("utf-8"), kept))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
