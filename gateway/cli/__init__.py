"""The command `exchange`: the composition root, where log, books and services are put together.

Each module adds its commands with `register(app)`: `services` runs the venue's processes, `trading`
is for members, `accounts` for what they are in the registry, `authority` and `settlement` for the
authority, `years` for compliance years, `days`, `certificates`, `surveillance`
and `records` for operations; `proofs`, `demo`
and `simulate` show and check the whole, `match` the engine alone, `rulebook` the rules, `auctions`
and `supply` what is auctioned.
"""

from __future__ import annotations

import importlib
import sys

import typer

from exchange import __version__

GROUPS: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "trading": (
        "cancel", "orders", "book", "trades", "instruments", "positions", "holdings",
        "holdings-at", "deposit", "release", "transfer", "plan", "headroom", "surrender", "retire",
        "pledge", "release-pledge", "enforce-pledge", "order",
    ),
    "accounts": (
        "accounts", "block", "unblock", "transfers", "approve-transfer", "cancel-transfer",
        "trust", "account",
    ),
    "authority": (
        "register-project", "projects", "issue", "freeze", "unfreeze", "propose-reversal",
        "approve-reversal", "reversals", "serial", "duplicates",
    ),
    "years": (
        "year", "report-emissions", "verify-emissions", "allocate", "assess", "apply-carry-over",
        "carry-over", "set-entitlement", "exchange-credits",
    ),
    "settlement": (
        "settlements", "fail-settlement", "object-to-trade", "retry-settlement", "void-trade",
        "cancel-trade",
    ),
    "services": (
        "gateway", "engine", "settlement", "registry", "marketdata", "surveillance", "bootstrap",
    ),
    "proofs": ("verify", "replay", "reconcile", "rebuild"),
    "days": ("end-of-day",),
    "certificates": ("certificate",),
    "surveillance": ("alerts", "surveil"),
    "records": ("records",),
    "simulate": ("simulate",),
    "match": ("match",),
    "rulebook": ("rulebook",),
    "auctions": ("auctions",),
    "supply": ("supply",),
}  # fmt: skip
"""Module -> its commands: one command is known without reading the modules of the others."""


def build(command: str = "") -> typer.Typer:
    """The program with the group of a command, or with every group when none has that name."""
    app = typer.Typer(
        name="exchange",
        help="An open exchange for carbon units, on one replayable log.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    named = [module for module, commands in GROUPS.items() if command in commands]
    for module in named or GROUPS:
        importlib.import_module(f"{__name__}.{module}").register(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carbon-exchange {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """An open exchange for carbon units, on one replayable log."""


def main() -> None:
    """Entry point of the command line."""
    build(sys.argv[1] if len(sys.argv) > 1 else "")()
