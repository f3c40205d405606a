"""Makes the documents that are a view of the code: `python -m deploy.docs.generate [--check]`.

`--check` writes nothing and exits 1, naming the files that differ from the code.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from deploy.docs import command_line, fix, json_lines, source
from deploy.docs.text import NOTICE, code, table
from exchange import settings, topics
from exchange.messages import (
    alerts,
    executions,
    instructions,
    intake,
    market_data,
    operations,
    orders,
    reasons,
    registry,
    settlement,
)
from gateway.access import roles
from matching import layout

HERE = Path(__file__).parent
TYPES = {"u": "unsigned", "i": "signed", "S": "bytes"}
ENUMS = (
    layout.FrameKind,
    layout.Command,
    layout.Event,
    layout.Side,
    layout.OrderType,
    layout.TimeInForce,
    layout.Phase,
    layout.Liquidity,
    layout.OrderStatus,
    layout.CloseRule,
    layout.Resale,
    layout.FeeSides,
    layout.SettlementStep,
    layout.Parameter,
    layout.Instruction,
)
VOCABULARY: tuple[ModuleType, ...] = (
    orders,
    instructions,
    operations,
    intake,
    executions,
    settlement,
    registry,
    market_data,
    alerts,
)


def topics_page() -> str:
    """The map: every topic in the data's order, and which partitions exist."""
    rows = [
        (code(t.name), t.value, ", ".join(t.writers), ", ".join(t.readers), t.retention)
        for t in topics.TOPICS
    ]
    per_market = ", ".join(code(topic.name) for topic in topics.MARKET_TOPICS)
    return "\n".join(
        (
            "# Topics",
            NOTICE,
            source.summary(topics),
            "",
            table(("topic", "a record holds", "written by", "read by", "kept"), rows),
            f"A market is one partition of {per_market}, with its number from the venue file. "
            f"A participant with number N has its own `{topics.intake(0).topic[:-1]}N` and "
            f"`{topics.reports(0).topic[:-1]}N`.",
            "",
        )
    )


def layout_table(name: str) -> str:
    """Offsets, types and comments of one record layout."""
    dtype: np.dtype[np.void] = getattr(layout, name)
    said = source.dtype_comments(layout, name)
    places: Mapping[str, Any] = dtype.fields or {}
    rows = []
    for field in dtype.names or ():
        kind, offset = places[field][:2]
        words = f"{TYPES[kind.kind]} {kind.itemsize * 8} bits"
        if kind.kind == "S":
            words = f"{kind.itemsize} bytes"
        rows.append((offset, code(field), words, said.get(field, "")))
    return table(("offset", "field", "type", "meaning"), rows)


def enum_tables() -> Iterable[str]:
    """Every enumeration of the layout with its comments."""
    classes = {section.name: section for section in source.sections(layout)}
    for enum in ENUMS:
        section = classes[enum.__name__]
        rows = [(row.value, code(row.name), row.comment) for row in section.rows]
        yield f"### {enum.__name__}\n\n{section.text}\n"
        yield table(("number", "name", "meaning"), rows)


def struct_sections(module: ModuleType) -> Iterable[str]:
    """Every struct of a module of the vocabulary."""
    yield f"## `{module.__name__.removeprefix('exchange.')}`\n\n{source.summary(module)}\n"
    for section in source.sections(module):
        tag = section.words.get("tag", "")
        shape = ["array"] if section.words.get("array_like") == "True" else []
        shape += [f"tag {tag}"] if tag not in ("", "True") else []
        yield f"### {section.name}\n\n{section.text}\n"
        if shape:
            yield f"Encoded as: {', '.join(shape)}.\n"
        if section.bases and section.bases[0] != "msgspec.Struct":
            yield f"Has the fields of {section.bases[0]}, then:\n"
        if section.rows:
            rows = [(code(r.name), code(r.type), code(r.value), r.comment) for r in section.rows]
            yield table(("field", "type", "default", "meaning"), rows)


def messages_page() -> str:
    """Frames of the hot path, then every struct."""
    transitions = [
        (before.name, after.name)
        for (before, after), may in layout.PHASE_TRANSITIONS.items()
        if may
    ]
    parts = [
        "# Messages\n",
        NOTICE,
        "Records of `orders` and `events` are frames; every other message is a struct.\n",
        "## Frames (`matching.layout`)\n",
        "```text\n" + source.summary(layout) + "\n```\n",
        f"### Header, {layout.HEADER_SIZE} bytes\n",
        layout_table("HEADER"),
        f"### Command, {layout.RECORD_SIZE} bytes\n",
        layout_table("COMMAND"),
        f"### Event, {layout.RECORD_SIZE} bytes\n",
        layout_table("EVENT"),
        "In a fill the last 16 bytes are `contra_order_id` (unsigned 64 bits) and `fee` "
        "(signed 64 bits, minor units).\n",
        *enum_tables(),
        "### Changes of phase\n",
        table(("from", "to"), transitions),
    ]
    for module in VOCABULARY:
        parts += struct_sections(module)
    return "\n".join(parts)


def reasons_page() -> str:
    """Every numbered refusal with its text, HTTP status and whether to send again."""
    rows = [
        (row.number, code(row.name), row.status, "yes" if row.may_retry else "no", row.text)
        for _, row in sorted(reasons.REASONS.items())
    ]
    return "\n".join(
        (
            "# Reasons",
            NOTICE,
            source.summary(reasons),
            "",
            table(("number", "name", "HTTP", "send again?", "text"), rows),
        )
    )


def settings_page() -> str:
    """Every environment variable and every limit."""
    section = next(s for s in source.sections(settings) if s.name == "Settings")
    variables = [
        (code("EXCHANGE_" + row.name.upper()), code(row.value), row.comment) for row in section.rows
    ]
    limits = [
        (code(row.name), code(f"{getattr(settings, row.name):_}"), row.comment)
        for row in source.constants(settings)
    ]
    return "\n".join(
        (
            "# Settings and limits",
            NOTICE,
            "## Environment\n",
            inspect.cleandoc(section.text) + "\n",
            table(("variable", "default", "meaning"), variables),
            "## Limits (`exchange.settings`)\n",
            table(("name", "value", "meaning"), limits),
        )
    )


def access_page() -> str:
    """Who may do what: every action with its roles and scopes."""
    rows = [
        (
            code(action),
            ", ".join(sorted(row.roles)),
            ", ".join(sorted(row.scopes)) or "-",
        )
        for action, row in roles.MATRIX.items()
    ]
    return "\n".join(
        (
            "# Who may do what",
            NOTICE,
            source.summary(roles),
            "",
            table(("action", "any of these roles", "and any of these scopes"), rows),
        )
    )


PAGES: dict[str, Callable[[], str]] = {
    "topics.md": topics_page,
    "messages.md": messages_page,
    "reasons.md": reasons_page,
    "settings.md": settings_page,
    "access.md": access_page,
    "json.md": json_lines.fields_page,
    "match.md": json_lines.match_page,
    "fix-fields.md": fix.fields_page,
    "FIX44-carbon.xml": fix.dictionary_xml,
    "cli.md": command_line.page,
}


def stale() -> list[str]:
    """The pages that differ from the code."""
    return [
        name
        for name, page in PAGES.items()
        if not (HERE / name).exists() or (HERE / name).read_text("utf-8") != page()
    ]


def main(arguments: Sequence[str] = ()) -> int:
    """Writes the pages, or with `--check` only compares; 1 when something differs."""
    if "--check" in arguments:
        for name in stale():
            print(f"deploy/docs/{name} differs from the code: python -m deploy.docs.generate")
        return 1 if stale() else 0
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
