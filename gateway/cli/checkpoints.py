"""`exchange checkpoints`, `exchange checkpoint-key` and `exchange prove`.

The first is a process of the venue: it signs what the log held, every minute and at each day, into
a folder on another disk. The second makes its key. The third proves to an outsider that one record
is under a checkpoint; `deploy/examples/check_proof.py` checks that without this program.
`exchange verify --against` is in `proofs`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvloop

from exchange.audit import against
from exchange.audit.checkpoints import CHECKED, CheckpointService
from exchange.audit.proving import prove_record
from exchange.audit.reconciliation import Check
from exchange.audit.signed_note import Verifier, key_name, load_signer, make_key, parse_verifier
from exchange.audit.vault import CHECKPOINTS_FOLDER, PUBLIC_KEY, Vault, publish_key
from exchange.clock import Clock, SystemClock
from exchange.database.connection import DatabaseError
from exchange.log.protocol import Log, LogError
from exchange.reference.venue import Market, Venue, load_venue
from exchange.service import Service
from exchange.settings import Settings
from gateway.cli.proofs import Opened, open_venue, progress_bar
from gateway.cli.services import Parts, run_service

USAGE_ERROR = 2
CHECKED_NAMES = tuple(topic.name for topic in CHECKED)


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(checkpoints)
    app.command("checkpoint-key")(checkpoint_key)
    app.command()(prove)


def checkpoints(
    market: Annotated[
        list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Make one of each market and end.")] = False,
) -> None:
    """Sign what the log holds, every minute and at each day, into EXCHANGE_CHECKPOINTS."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        return [*services(parts.log, parts.venue, parts.markets, parts.settings, parts.clock)]

    async def work() -> None:
        async with open_venue(market, None, writes=True) as opened:
            for service in services(
                opened.log, opened.venue, opened.markets, opened.settings, SystemClock()
            ):
                newest = await service.once()
                sizes = ", ".join(f"{tree.topic} {tree.size}" for tree in newest.trees)
                typer.echo(f"{newest.market} checkpoint {newest.number}: {sizes}")

    if once:
        _told(work)
    else:
        run_service("checkpoints", market, compose)


def checkpoint_key(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; must not exist.")],
    name: Annotated[str, typer.Option(help="Of the key; none: the venue's.")] = "",
) -> None:
    """Make the key that signs checkpoints, and print its public half to give away."""
    try:
        text = name or key_name(load_venue(Settings.from_environment().venue).name)
        signer = make_key(file, text)
    except (OSError, ValueError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    typer.echo(signer.verifier.line())


def prove(
    market: Annotated[str, typer.Argument(help="Market code.")],
    offset: Annotated[int, typer.Argument(min=0, help="Of the record on the topic.")],
    topic: Annotated[str, typer.Option(help=f"One of {', '.join(CHECKED_NAMES)}.")] = "events",
    data: Annotated[
        Path | None, typer.Option(help="Folder of an embedded venue; none: EXCHANGE_* settings.")
    ] = None,
    against_: Annotated[
        Path | None, typer.Option("--against", help="A checkpoint; none: the newest of the folder.")
    ] = None,
) -> None:
    """Print a proof that one record is under a checkpoint, as JSON, for who has no log."""

    async def work() -> None:
        if topic not in CHECKED_NAMES:
            raise ValueError(f"topic {topic}: known are {', '.join(CHECKED_NAMES)}")
        async with open_venue([market], data) as opened:
            vault = Vault(folder(opened.settings), market)
            proof = await prove_record(
                opened.log, opened.markets[0], topic, offset, vault, against_
            )
            typer.echo(msgspec.json.format(msgspec.json.encode(proof), indent=2).decode())

    _told(work)


# -- what other commands take from here -----------------------------------------------------------


def folder(settings: Settings) -> Path:
    """Where a venue's checkpoints are."""
    return Path(settings.checkpoints or settings.data / CHECKPOINTS_FOLDER)


def services(
    log: Log, venue: Venue, markets: Sequence[Market], settings: Settings, clock: Clock
) -> list[CheckpointService]:
    """The service of each market; OSError and ValueError name what the settings lack."""
    if not settings.checkpoints or not settings.checkpoint_key_file:
        raise ValueError(
            "EXCHANGE_CHECKPOINTS names the folder (on another disk than the log), "
            "EXCHANGE_CHECKPOINT_KEY_FILE the key that `exchange checkpoint-key` made"
        )
    signer, path = load_signer(Path(settings.checkpoint_key_file)), Path(settings.checkpoints)
    publish_key(path, signer.verifier)
    every_s = settings.checkpoint_every_s
    return [
        CheckpointService(log, venue.name, item, Vault(path, item.code), signer, clock, every_s)
        for item in markets
    ]


async def held_against(opened: Opened, path: Path, public_key: Path | None) -> list[Check]:
    """What `verify --against` tells: the log of each market beside the checkpoints at a path."""
    codes = {item.code: item for item in opened.markets}
    checks = []
    with progress_bar("checkpoints") as advance:
        found = against.open_notes(path, _public(path, public_key), opened.venue, advance)
    for notes in found:
        if notes.market not in {item.code for item in opened.venue.market}:
            checks.append(Check("checkpoints", len(notes.problems), "; ".join(notes.problems)))
        elif notes.market in codes:
            vaults = [Vault(root, notes.market) for root in _near(path, opened.settings)]
            with progress_bar(f"verify {notes.market}") as advance:
                checks += await against.compare(
                    opened.log, codes[notes.market], notes, vaults, advance
                )
    return checks + _without(opened, path, {notes.market for notes in found})


def _without(opened: Opened, path: Path, told: set[str]) -> list[Check]:
    """The markets without a note: all that a venue's folder lacks; of one note or of a market's
    folder, none of those that were asked for.
    """
    asked = {item.code for item in opened.markets}
    is_of_one = not path.is_dir() or path.name in {item.code for item in opened.venue.market}
    if is_of_one and asked & told:
        return []
    return [
        Check(f"{code} has a checkpoint", 1, f"none below {path}: nothing of {code} was compared")
        for code in sorted(asked - told)
    ]


def _near(path: Path, settings: Settings) -> list[Path]:
    """Folders that may keep hashes of records; the signed root judges them."""
    return [*[p for p in (path, *path.absolute().parents) if (p / PUBLIC_KEY).is_file()],
            folder(settings)]  # fmt: skip


def _public(path: Path, public_key: Path | None) -> Verifier:
    if not path.exists():
        raise ValueError(
            f"--against {path}: nothing is there; name a checkpoint (*.note) or the folder that "
            "EXCHANGE_CHECKPOINTS named, from the disk on which it was kept"
        )
    if public_key is None:
        beside = [p / PUBLIC_KEY for p in (path, *path.absolute().parents)]
        found = next((item for item in beside if item.is_file()), None)
        if found is None:
            raise ValueError(
                f"--against {path}: no {PUBLIC_KEY} in it or in a folder above it; name the key "
                "of its signer with --public-key"
            )
        public_key = found
    try:
        return parse_verifier(public_key.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{public_key}: {error}") from None


def _told(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        uvloop.run(work())
    except (LogError, DatabaseError, OSError, ValueError, KeyError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
