"""Key and person in one text, and whose two acts are."""

from __future__ import annotations

import pytest

from exchange.reference.signers import is_one_person, key_of, person_of, signer


@pytest.mark.parametrize(("key", "person", "text", "who"), [
    ("ann", "", "ann", "ann"),
    ("ann", "ann", "ann", "ann"),
    ("ops-1", "Li Wei", "ops-1 (Li Wei)", "Li Wei"),
    ("ops-1", "Li (Wei)", "ops-1 (Li (Wei))", "Li (Wei)"),
    ("ops 1", ")", "ops 1 ())", ")"),
    ("", "", "", ""),
])  # fmt: skip
def test_a_text_says_key_and_person(key: str, person: str, text: str, who: str) -> None:
    assert signer(key, person) == text
    assert (key_of(text), person_of(text)) == (key, who)


@pytest.mark.parametrize(("one", "other", "wanted"), [
    ("a", "a", True), ("a", "b", False),
    ("a (Li)", "b (Li)", True), ("a (Li)", "b (Wu)", False),
    ("a", "a (Li)", True),  # the person was named between the two acts
    ("Li", "b (Li)", True),  # a login by the person's own name
    ("a (b)", "b", True),
])  # fmt: skip
def test_two_keys_of_one_person_are_one(one: str, other: str, wanted: bool) -> None:
    assert is_one_person(one, other) is is_one_person(other, one) is wanted
