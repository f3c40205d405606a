"""The command `exchange`: the composition root, where log, books and services are put together.

Each module adds its commands with `register(app)`: `services` runs the venue's processes, `trading`
is for members, as are `market`, `holdings` and `export`, `accounts` for what they are in the
registry, `authority` and `settlement` for the authority, `years` for compliance years, `days`,
`timetable`, `certificates`, `operators`, `surveillance` and `records` for operations; `proofs`,
`checkpoints`, `demo`, `simulate` and `simulate_faults` show and check the whole, `match` the engine
alone, `rulebook` the rules, `auctions` and `supply` what is auctioned, `training` a class.
"""

from __future__ import annotations

import importlib
import io
import os
import stat
import sys
from typing import Any

import typer

READER_GONE = 141  # exit code: 128 + SIGPIPE
COMPLETED = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")  # of zsh, fish, PowerShell; of bash

GROUPS: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "training": ("training",),
    "market": ("book", "trades", "instruments"),
    "trading": (
        "order", "replace", "cancel", "cancel-all", "quote", "pick", "orders", "fills", "block",
    ),
    "holdings": (
        "positions", "holdings", "holdings-at", "deposit", "release", "transfer", "retire",
        "pledge", "release-pledge", "enforce-pledge",
    ),
    "export": ("export",),
    "accounts": (
        "accounts", "transfers", "approve-transfer", "cancel-transfer", "trust", "account",
    ),
    "authority": (
        "register-project", "projects", "issue", "freeze", "unfreeze", "propose-reversal",
        "approve-reversal", "reversals", "serial", "duplicates",
    ),
    "years": (
        "year", "plan", "headroom", "surrender", "report-emissions", "verify-emissions",
        "allocate", "assess", "apply-carry-over", "carry-over", "set-entitlement",
        "exchange-credits",
    ),
    "settlement": (
        "settlements", "fail-settlement", "object-to-trade", "retry-settlement", "void-trade",
        "cancel-trade",
    ),
    "services": (
        "gateway", "engine", "settlement", "registry", "marketdata", "surveillance", "bootstrap",
    ),
    "proofs": (
        "verify", "replay", "self-check", "reconcile", "rebuild", "rebuild-marketdata",
    ),
    "checkpoints": ("checkpoints", "checkpoint-key", "prove"),
    "days": ("end-of-day",),
    "timetable": ("timetable",),
    "operators": (
        "halt", "resume", "kill", "lift", "limit", "holding-limit", "approve", "decline",
        "proposals", "acts", "order-to-trade", "opening", "operator",
    ),
    "certificates": ("certificate",),
    "surveillance": ("alerts", "handle-alert", "surveil"),
    "records": ("records",),
    "simulate": ("simulate",),
    "simulate_faults": ("simulate-faults",),
    "match": ("match",),
    "rulebook": ("rulebook",),
    "auctions": ("auctions",),
    "supply": ("supply",),
}  # fmt: skip
"""Module -> its commands: one command is known without reading the modules of the others."""

PANELS: dict[str, str] = {
    "demo": "Begin here",
    "training": "Begin here",
    "market": "The market (no key needed)",
    "trading": "Your orders",
    "holdings": "What you hold",
    "export": "What you hold",
    "accounts": "Accounts in the registry",
    "years": "Compliance years",
    "authority": "The authority's and the operators' acts",
    "settlement": "The authority's and the operators' acts",
    "operators": "Market operations",
    "days": "Market operations",
    "timetable": "Market operations",
    "surveillance": "Market operations",
    "records": "Market operations",
    "certificates": "What you hold",
    "auctions": "Auctions and supply",
    "supply": "Auctions and supply",
    "proofs": "Check it yourself",
    "checkpoints": "Check it yourself",
    "simulate": "Check it yourself",
    "simulate_faults": "Check it yourself",
    "match": "Check it yourself",
    "rulebook": "Check it yourself",
    "services": "The venue's processes",
}
"""Module -> under which head `exchange --help` shows its commands."""


def build(command: str = "") -> typer.Typer:
    """The program with the group of a command, or with every group when none has that name.

    `--version` needs none of them.
    """
    app = typer.Typer(
        name="exchange",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    named = [module for module, commands in GROUPS.items() if command in commands]
    for module in () if command == "--version" else named or GROUPS:
        seen = len(app.registered_commands), len(app.registered_groups)
        importlib.import_module(f"{__name__}.{module}").register(app)
        added: list[Any] = [*app.registered_commands[seen[0] :], *app.registered_groups[seen[1] :]]
        for item in added:
            item.rich_help_panel = PANELS.get(module, "The authority's and the operators' acts")
    return app


def build_names() -> typer.Typer:
    """The names of all commands, for a shell that completes one: nothing of them is read."""
    app = typer.Typer(name="exchange")
    for commands in GROUPS.values():
        for name in commands:
            app.command(name)(lambda: None)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from exchange.build import this_build  # asks git in a clone

        typer.echo(this_build().line())
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """An open exchange for carbon units, on one replayable log.

    In a minute: `exchange demo` starts a venue and names a key file for EXCHANGE_KEY_FILE; then
    `exchange book EUA`, `exchange order buy EUA 10 @71.25 --account 103`, `exchange positions`.
    `exchange COMMAND --help` has an example of each; deploy/docs/cli.md has them all.

    Exit codes: 0 done, 1 refused (the reason is numbered) or a check failed, 2 bad input, 3 the
    venue is not there or takes nothing now, 4 taken but not answered, 130 interrupted, 141 who read
    its output through a pipe has ended.
    """


class _Pipe(io.FileIO):
    """Standard output into a pipe: the command ends when nobody reads it any more."""

    def write(self, data: Any, /) -> int:
        """As the file's; SystemExit where a shell's own programs would end by SIGPIPE."""
        try:
            return super().write(data)
        except BrokenPipeError:
            gone = os.open(os.devnull, os.O_WRONLY)
            os.dup2(gone, self.fileno())  # what is still in buffers goes there
            os.close(gone)
            raise SystemExit(READER_GONE) from None


def _piped() -> None:
    """Lets `exchange ... | head` end quietly; a terminal and a file stay what they are."""
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        is_unbuffered = getattr(sys.stdout, "write_through", False)  # PYTHONUNBUFFERED
        pipe: Any = _Pipe(1, "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            pipe if is_unbuffered else io.BufferedWriter(pipe),
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            write_through=is_unbuffered,
        )


def main() -> None:
    """Entry point of the command line."""
    _piped()
    try:
        _run()
    finally:
        sys.stdout.flush()


def _run() -> None:
    for name in COMPLETED:  # the line that a shell wants completed, up to the cursor
        line = os.environ.get(name, "")
        if line:
            words = line.split() if line[-1:].isspace() else line.split()[:-1]
            app = build(words[1]) if len(words) > 1 else build_names()
            break
    else:
        app = build(sys.argv[1] if len(sys.argv) > 1 else "")
    app()
