"""Signed notes against the example that Go's package of that format publishes, and against lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.audit.signed_note import (
    NoteError,
    OtherKeyError,
    load_signer,
    make_key,
    parse_verifier,
    split,
)

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6R\
yyBwJnAM=
"""


def test_the_published_example() -> None:
    verifier = parse_verifier(KEY)
    assert verifier.open(NOTE).endswith("what your problem is.\n")
    assert verifier.line() == KEY
    with pytest.raises(NoteError, match="forged or altered"):
        verifier.open(NOTE.replace("answer", "Answer"))


def test_a_key_signs_and_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "checkpoint.key"
    signer = make_key(path, "venue.example")
    note = load_signer(path).sign("one\ntwo\n")
    assert signer.verifier.open(note) == "one\ntwo\n"
    assert parse_verifier(signer.verifier.line()) == signer.verifier
    with pytest.raises(FileExistsError):
        make_key(path, "venue.example")
    other = make_key(tmp_path / "other.key", "venue.example")
    with pytest.raises(OtherKeyError, match=f"not by venue.example {other.verifier.key_id.hex()}"):
        other.verifier.open(note)
    witness = other.sign("one\ntwo\n").rpartition("\n\n")[2]
    assert signer.verifier.open(note + witness) == other.verifier.open(note + witness)


def test_what_is_no_note_or_key_is_refused(tmp_path: Path) -> None:
    signer = make_key(tmp_path / "a.key", "a")
    for text in ("", "one\n", "one\n\nno dash\n", "one\n\n— a AAAA\n", "one\n\n— a !!!!\n"):
        with pytest.raises(NoteError):
            split(text)
    for text in ("no line end", "an\n\nempty line\n"):
        with pytest.raises(ValueError, match="whole lines"):
            signer.sign(text)
    for line in ("", "a+b", KEY.replace("c74f20a3", "c74f20a4"), KEY[:-4]):
        with pytest.raises(NoteError):
            parse_verifier(line)
    with pytest.raises(ValueError, match="no space"):
        make_key(tmp_path / "b.key", "two words")
    path = tmp_path / "a.key"
    path.chmod(0o640)
    with pytest.raises(ValueError, match="others may read it"):
        load_signer(path)
    path.chmod(0o600)
    path.write_text("secret-that-must-not-be-told")
    with pytest.raises(ValueError, match="no key file") as caught:
        load_signer(path)
    assert "secret" not in str(caught.value)
