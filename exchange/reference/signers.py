"""Who gave an act for which two persons are asked, as notes, books and messages say it.

`KEY` of a key that stands for a person by itself, else `KEY (PERSON)`: the record says which key
signed, and two keys of one person are still one person. An id has no ` (`; a person may.
"""

from __future__ import annotations

PERSON_FOLLOWS = " ("


def signer(key: str, person: str) -> str:
    """The text; a person of "" is the key itself. O(1)."""
    return f"{key}{PERSON_FOLLOWS}{person})" if person and person != key else key


def key_of(text: str) -> str:
    """The key that signed. O(1)."""
    return text.partition(PERSON_FOLLOWS)[0]


def person_of(text: str) -> str:
    """The person behind it. O(1)."""
    key, _, person = text.partition(PERSON_FOLLOWS)
    return person.removesuffix(")") or key


def is_one_person(one: str, other: str) -> bool:
    """Whether two acts were given by one person: with one key, or as one. O(1).

    A key counts as itself also when its person was named between the two acts.
    """
    return key_of(one) == key_of(other) or person_of(one) == person_of(other)
