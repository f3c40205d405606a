"""Chance that everybody can repeat: numbers drawn from a seed on the log, and digests of terms.

Both are built on one step, the finaliser of SplitMix64 (Steele, Lea, Flood 2014), in 64-bit
arithmetic that wraps.
"""

from __future__ import annotations

WORD = 2**64 - 1


def mix(word: int) -> int:
    """A 64-bit word that depends on every bit of `word`; `mix(0)` is 0. O(1)."""
    word &= WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def draw(seed: int, key: int) -> int:
    """The 64-bit number that `seed` gives to `key` (an order, an instrument). O(1)."""
    return mix(mix(seed + 0x9E3779B97F4A7C15) ^ key)


def digest(*words: int) -> int:
    """32 bits that stand for a sequence of words; 0 for zeros only. O(words)."""
    found = 0
    for word in words:
        found = mix(found ^ word & WORD)
    return found & 0xFFFFFFFF
