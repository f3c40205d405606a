"""Figures that are amounts, prices, shares or counts, and so never below zero."""

from __future__ import annotations


def require_whole(**figures: int | None) -> None:
    """ValueError that names the first figure below zero; None is not stated. O(figures)."""
    for name, value in figures.items():
        if value is not None and value < 0:
            raise ValueError(f"{name} is not negative: {value}")
