"""The page of every command, made from the program: what it does, an example, its options.

An example stands in the command's own help or in EXAMPLES; a command with neither shows what it
needs. A test reads every example as the program would, without doing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from deploy.docs.text import NOTICE, table
from gateway.cli import build

PROGRAM = "exchange"
HIDDEN = {"help", "install_completion", "show_completion"}

EXAMPLES: tuple[str, ...] = (
    "exchange timetable --venue deploy/venue/demo-timetable.toml",
    "exchange self-check --data .local/demo --until 5000 --every 100",
    "exchange holdings-at CN 2026-11-27 --account 203",
    "exchange deposit CEA-2025 100 --account 203",
    "exchange release CEA-2025 100 --account 203",
    "exchange transfer CEA-2025 100 202 --account 203",
    'exchange retire CCER 5 --account 203 --beneficiary "Yangtze Power" --reason "travel of 2025"',
    "exchange pledge CEA-2025 100 202 --account 203 --reference loan-7",
    "exchange release-pledge CEA-2025 100 203 --account 202 --reference loan-7",
    "exchange enforce-pledge CEA-2025 100 203 --account 202 --reference default-7",
    "exchange accounts --market EU",
    "exchange transfers",
    "exchange approve-transfer EUA 20 4711 --account 103",
    "exchange cancel-transfer EUA 4711 --account 103",
    "exchange trust propose EUA 102 --account 103",
    "exchange trust approve EUA 102 --account 103",
    "exchange trust remove EUA 102 --account 103",
    "exchange account type EUA 100-12 --needs-two --account 103",
    "exchange account appoint EUA desk --account 103",
    "exchange account dismiss EUA desk --account 103",
    "exchange account bind CCER 203 CN --account 901",
    'exchange account block EUA --account 103 --reference "file 7"',
    'exchange account unblock EUA --account 103 --reference "file 8" --block 4711',
    "exchange account confirm EUA 2026 --account 103",
    "exchange projects",
    "exchange issue CEA-2025 1000 2025 --account 201",
    'exchange freeze EUA 50 --account 103 --reference "(2026) 7"',
    'exchange unfreeze EUA 50 --account 103 --reference "(2026) 8"',
    'exchange propose-reversal EUA 50 4711 --account 103 --reason "wrong year"',
    "exchange approve-reversal EUA 50 4712 --account 103",
    "exchange reversals",
    "exchange serial CCER 41",
    "exchange duplicates",
    "exchange report-emissions CEA-2025 10000 2025 --account 203 --sector power",
    "exchange verify-emissions CEA-2025 10000 2025 --account 203",
    "exchange allocate CEA-2025 7000 2025 final --account 203 --sector power",
    "exchange assess CEA-2025 2025 --account 203 --price 74.63",
    "exchange apply-carry-over CEA-2025 100 2025 --account 203",
    "exchange carry-over CEA-2025 100 4711 --account 203",
    "exchange set-entitlement EUA 10000 stationary --account 103",
    "exchange exchange-credits CCER 100 EUA --account 103",
    "exchange settlements --market EU --state failed",
    'exchange fail-settlement EUA 10 4711 --account 103 --reason "no delivery"',
    'exchange object-to-trade EUA 10 4711 --account 103 --reason "not ours"',
    'exchange retry-settlement EUA 10 4711 --account 103 --reason "units are there"',
    'exchange void-trade EUA 10 4711 --account 103 --reason "too late"',
    'exchange cancel-trade propose EUA 10 4711 --account 103 --reason "wrong price"',
    "exchange cancel-trade approve EUA 10 4712 --account 103",
    "exchange gateway",
    "exchange engine --market EU",
    "exchange settlement --market EU",
    "exchange registry --market EU",
    "exchange marketdata --market EU",
    "exchange bootstrap",
    "exchange verify --data .local/demo --books",
    "exchange replay --data .local/demo",
    "exchange reconcile --data .local/demo",
    "exchange checkpoints --once",
    "exchange checkpoint-key checkpoint.key --name venue.example",
    "exchange prove EU 41 --topic orders",
    "exchange rebuild --data .local/demo",
    "exchange end-of-day 2026-11-27 --market EU --data .local/demo",
    "exchange certificate 4711 --market CN --data .local/demo",
    "exchange match commands.jsonl --engine both",
    "exchange supply eu-ets 2024",
    "exchange auctions calendar eu-ets 2026 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions next eu-ets --programme deploy/venue/demo-auctions.toml",
    "exchange auctions now --programme deploy/venue/demo-auctions.toml",
    "exchange auctions reserve eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions deliver eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions open eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions close eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions call-off eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions result eex-de-20260109 --programme deploy/venue/demo-auctions.toml",
    "exchange auctions bid EUA 500 @71.25 --account 103",
    "exchange auctions run --programme deploy/venue/demo-auctions.toml",
    "exchange simulate --quotes quotes.csv --from 2018-11-12 --to 2018-11-28",
    "exchange simulate-faults --seeds 20 --workers 2",
    """exchange register-project CCER 7 --account 201 --details '{"name": "Wind 7"}'""",
    "exchange alerts --market EU",
    "exchange surveil --data .local/demo",
    "exchange rulebook check",
    "exchange rulebook show cn-national --on 2025-12-31",
)


class Leaf(NamedTuple):
    """A command: its words, its head in the help, and itself."""

    words: tuple[str, ...]
    panel: str
    command: TyperCommand

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join((PROGRAM, *self.words))


def leaves() -> list[Leaf]:
    """Every command of the program, as `--help` orders them. O(commands)."""
    return list(_below(typer.main.get_command(build()), (), ""))


def _below(command: object, words: tuple[str, ...], panel: str) -> Iterator[Leaf]:
    if isinstance(command, TyperGroup):
        panel = _panel(command) or panel
        for name, item in command.commands.items():
            yield from _below(item, (*words, name), panel)
    elif isinstance(command, TyperCommand):
        yield Leaf(words, _panel(command) or panel, command)


def _panel(command: TyperGroup | TyperCommand) -> str:
    return command.rich_help_panel if isinstance(command.rich_help_panel, str) else ""


def example_of(leaf: Leaf) -> str:
    """An example of a command; where nobody wrote one, the words that it needs."""
    for line in (leaf.command.help or "").splitlines():
        if line.strip().startswith(f"{leaf.name} ") or line.strip() == leaf.name:
            return line.strip()
    for text in EXAMPLES:
        if text == leaf.name or text.startswith(f"{leaf.name} "):
            return text
    return " ".join((leaf.name, *_needed(leaf.command)))


def _needed(command: TyperCommand) -> Iterator[str]:
    for item in command.params:
        if not item.required:
            continue
        word = (item.name or "").upper()
        yield word if item.param_type_name == "argument" else f"{item.opts[0]} {word}"


def _options(command: TyperCommand) -> str:
    named = (
        item.opts[0]
        for item in command.params
        if item.param_type_name != "argument" and item.name not in HIDDEN
    )
    return " ".join(f"`{name}`" for name in named)


def page() -> str:
    """`cli.md`."""
    heads: dict[str, list[Leaf]] = {}
    for leaf in leaves():
        heads.setdefault(leaf.panel, []).append(leaf)
    parts = [f"# The command line\n\n{NOTICE}\n\n{INTRODUCTION}"]
    for panel, found in heads.items():
        rows = [
            (
                f"`{example_of(leaf)}`",
                (leaf.command.help or "").split("\n\n")[0].replace("\n", " ").strip(),
                _options(leaf.command),
            )
            for leaf in found
        ]
        parts.append(f"## {panel}\n\n" + table(("example", "what it does", "options"), rows))
    return "\n".join(parts)


INTRODUCTION = """\
`exchange COMMAND --help` says what each option means. A key file says who you are and where the
venue is: `--key-file FILE`, or once for all `export EXCHANGE_KEY_FILE=FILE`. Commands of the
market need no key; `--url` says where.

**What is printed.** On a terminal tables; into a pipe or file the title, the names of the columns
and a line for each row, with tabs between and figures without separators; with `--json` JSON
Lines, a document for each row as the API gives it. `exchange export` writes CSV or JSON Lines,
page by page.

**Exit codes.** 0 done. 1 refused, with the numbered reason of [reasons](reasons.md), what was
wrong and what to do; or a check found a difference. 2 bad input: nothing was sent. 3 the venue is
not there, or takes nothing now: nothing was done, try again. 4 taken, but not answered: ask
(`exchange orders`, `exchange fills`) before sending it again. 130 interrupted, 141 who
read its output through a pipe has ended.

**Completion.** `exchange --install-completion` teaches bash, zsh, fish or PowerShell, in the next
shell: TAB offers commands, words of options and, from the venue, symbols, markets, your accounts
and open orders.

**Scripts.** What cannot be undone asks; without a terminal say `--yes`. `--follow` of `book` and
`trades` goes on until Ctrl-C or `--updates N`.
"""
