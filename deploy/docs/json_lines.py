"""The pages about `exchange match`: the fields in JSON, and examples with what they print."""

from __future__ import annotations

import contextlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from typer.testing import CliRunner

from deploy.docs.text import NOTICE, code, table
from exchange.messages import shapes
from gateway.cli import build
from matching import layout

MATCH_PAGE = Path(__file__).with_name("match.md")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
PROMPT = ["$", "exchange"]


def fields_page() -> str:
    """What `exchange match` calls the fields of commands and events."""
    words = [(code(name), found.allowed()) for name, found in shapes.WORDS.items()]
    elsewhere = {"`reason`": "one of [reasons.md](reasons.md)", "`command`": "a kind of command"}
    return "\n".join(
        (
            "# Commands and events in JSON\n",
            NOTICE,
            "What [`exchange match`](match.md) reads and prints; the numbers behind it are those "
            "of [messages.md](messages.md). A field that is not named is 0; those marked `?` are "
            "printed only when they are not 0. Bytes that are no UTF-8 stand in hexadecimal under "
            "the name of the field and `_hex`. What is not in a row stands under its name in the "
            "layout, where it is not 0: so every command may carry `valid_ms`, `session_id` and "
            "`ref`.\n",
            "## Commands\n",
            table(("kind", "fields"), _rows(layout.Command, shapes.command_shape)),
            "## Events\n",
            "First stand `offset`, `number` and `command_index`: the record which caused it, its "
            "own number, and the place of the command in the record.\n",
            table(("kind", "fields"), _rows(layout.Event, shapes.event_shape)),
            "## Words\n",
            "A number may stand for each of them.\n",
            table(
                ("field", "is"),
                [(name, elsewhere.get(name, allowed)) for name, allowed in words],
            ),
        )
    )


def match_page() -> str:
    """The page itself, with what its commands print now."""
    return remade(MATCH_PAGE.read_text("utf-8"))


def remade(page: str) -> str:
    """A page whose named blocks were written to files, and its `$ exchange` blocks run on them."""
    with tempfile.TemporaryDirectory(prefix="exchange-page-") as folder:

        def block(found: re.Match[str]) -> str:
            form, name, body = found.groups()
            if name:
                (Path(folder) / name).write_text(body, "utf-8")
            if form != "console":
                return found[0]
            command = body.partition("\n")[0]
            words = shlex.split(command)
            if words[:2] != PROMPT:
                raise ValueError(f"no `$ exchange` in {command!r}")
            with contextlib.chdir(folder):
                done = CliRunner().invoke(build(), words[2:])
            return f"```console\n{command}\n{done.stdout}{done.stderr}```"

        return BLOCK.sub(block, page)


def _rows(
    kinds: Iterable[layout.Command] | Iterable[layout.Event], shape: Callable[[int], shapes.Shape]
) -> Iterator[tuple[str, str]]:
    for kind in kinds:
        own = (part for part in shape(kind).parts if part.is_own)
        fields = (code(part.name) + ("" if part.is_shown else " ?") for part in own)
        yield code(kind.name), ", ".join(fields)
