"""`exchange certificate`: what was surrendered or cancelled, on paper and as a table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from exchange.certificates import CertificateRefusedError, certificate_of, write_certificate
from exchange.database.connection import DatabaseError
from exchange.end_of_day import DayRefusedError
from exchange.end_of_day.files import FileDigest
from exchange.end_of_day.names import Names
from exchange.reference.venue import load_venue
from exchange.settings import Settings
from gateway.cli.days import markets_named, opened_books, venue_settings
from gateway.cli.options import whole
from gateway.cli.proofs import USAGE_ERROR

FOLDER = "certificates"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(certificate)


def certificate(
    instruction_id: Annotated[
        int,
        typer.Argument(
            help="Instruction id of the surrender or cancellation.",
            parser=whole,
            metavar="instruction_id",
        ),
    ],
    market: Annotated[str, typer.Option(help="Market code.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the two files; none: under the data.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of an embedded venue, as .local/demo; none: EXCHANGE_*."),
    ] = None,
) -> None:
    """Write the certificate of a surrender or cancellation (PDF and CSV), from the books."""
    try:
        settings = venue_settings(data)
        folder = out or settings.data / FOLDER / f"{market}-{instruction_id}"
        for file in asyncio.run(_write(settings, market, instruction_id, folder)):
            typer.echo(f"{folder / file.name}  sha256 {file.sha256}")
    except (
        CertificateRefusedError, DayRefusedError, DatabaseError, OSError, ValueError,
    ) as error:  # fmt: skip
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None


async def _write(
    settings: Settings, code: str, instruction_id: int, folder: Path
) -> list[FileDigest]:
    venue = load_venue(settings.venue)
    (market,) = markets_named(venue, [code])
    async with opened_books(settings) as database:
        told = await certificate_of(database, market.partition, instruction_id)
    return write_certificate(told, Names(venue, market), folder)
