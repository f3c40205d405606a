"""The command `exchange`: the composition root, where log, books and services are put together.

Each module adds its commands with `register(app)`: `services` runs the venue's processes, `trading`
is for members, `authority` and `settlement` for the authority, `days` for operations; `proofs`,
`demo` and `simulate` show and check the whole, `match` the engine alone, `rulebook` the rules.
"""

from __future__ import annotations

import importlib
import pkgutil

import typer

from exchange import __version__

GROUPS = (
    "demo", "trading", "authority", "settlement", "services", "proofs", "days", "simulate",
    "match", "rulebook",
)  # fmt: skip


def build() -> typer.Typer:
    """The program with every group's commands."""
    app = typer.Typer(
        name="exchange",
        help="An open exchange for carbon units, on one replayable log.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    present = {module.name for module in pkgutil.iter_modules(__path__)}
    for name in GROUPS:
        if name in present:
            importlib.import_module(f"{__name__}.{name}").register(app)
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
    build()()
