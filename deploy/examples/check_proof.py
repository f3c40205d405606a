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

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(data: bytes) -> bytes:
    """The one hash that is used."""
    return hashlib.sha256(data).digest()


def check(proof: dict[str, object], key_line: str, kept: str = "") -> str:
    """What is proved, in words; ValueError, KeyError or InvalidSignature when it is not."""
    note = str(proof["checkpoint"])
    if kept and kept != note:
        raise ValueError("the proof is under another checkpoint than the one that was kept")
    name, _, key = key_line.strip().split("+", 2)
    text, _, under = note.rpartition("\n\n")
    line = next((line for line in under.splitlines() if line.split(" ")[1:2] == [name]), "")
    if not line:
        raise ValueError(f"the checkpoint is not signed by {name}")
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
    """0 when the proof holds, 1 when it does not, 2 when there is none to read."""
    try:
        proof, key, *notes = (Path(name).read_text("utf-8") for name in arguments)
    except (OSError, ValueError) as error:
        print(f"check_proof: {error}\nusage: check_proof.py PROOF.json PUBLIC.key [KEPT.note]")
        return 2
    try:
        print(check(json.loads(proof), key, *notes[:1]))
    except InvalidSignature:
        print("FALSE: the signature under the checkpoint is not of this key")
        return 1
    except (ValueError, KeyError, TypeError, IndexError) as error:
        print(f"FALSE: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
