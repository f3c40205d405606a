"""Commands of the authority: projects and issuance, freezing, undoing what was surrendered or
cancelled, and following serial numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from exchange.messages.instructions import (
    ApproveReversal,
    FreezeUnits,
    IssueUnits,
    ProjectAsked,
    ProposeReversal,
    RegisterProject,
    UnfreezeUnits,
)
from gateway.cli.options import (
    Account,
    KeyFile,
    Quantity,
    Reference,
    Symbol,
    instruct,
    make_table,
    whole,
    with_client,
)
from gateway.cli.output import Json, show, show_json
from gateway.client import Client
from gateway.replies.books import DuplicateRow, IssuanceRow, PeriodRow, TwiceRow
from gateway.replies.registry import ProjectRow

SECOND_NS = 1_000_000_000


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (
        register_project, projects, issue, freeze, unfreeze, propose_reversal, approve_reversal,
        reversals, serial, duplicates,
    ):  # fmt: skip
        app.command()(command)


Project = Annotated[
    int, typer.Argument(help="Number of the project.", parser=whole, metavar="project")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]


def register_project(
    symbol: Symbol,
    project: Project,
    account: Account,
    details: Annotated[
        str,
        typer.Option(
            help='What it is, in JSON: {"name": "...", "project_type": "wind", "region": "CN-NX", '
            '"methodology": "...", "registered_on": "2024-05-01"}; the API description has all.'
        ),
    ],
    key_file: KeyFile = None,
) -> None:
    """Register a project whose reductions may be issued as credits; it never changes."""
    try:
        told = msgspec.json.decode(details, type=ProjectAsked)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"--details: {error}") from None
    instruct(
        key_file,
        RegisterProject(ref=0, symbol=symbol, account=account, project=project, details=told),
    )


def projects(key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the registered projects of credits."""

    async def work(client: Client) -> None:
        table = make_table(
            "Projects", ">number", "programme", "name", "type", "region", "methodology", "flags"
        )
        found: list[ProjectRow] = []
        after = 0
        while rows := (await client.projects(after=after)).projects:
            found += rows
            for row in rows:
                told = row.details
                table.add_row(
                    str(row.project), row.programme, told.name, told.project_type, told.region,
                    told.methodology, ", ".join(told.flags),
                )  # fmt: skip
            after = rows[-1].project
        show(table, found, as_json)

    with_client(key_file, work)


def issue(
    symbol: Symbol,
    quantity: Quantity,
    year: Annotated[
        int,
        typer.Argument(
            help="Vintage, or monitoring year of credits.", parser=whole, metavar="year"
        ),
    ],
    account: Account,
    project: Annotated[int, typer.Option(help="Of credits: the project.")] = 0,
    period_from: Day = None,
    period_to: Day = None,
    key_file: KeyFile = None,
) -> None:
    """Issue units into an account's registry position (operator)."""
    instruct(
        key_file,
        IssueUnits(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            year=year,
            project=project,
            period_from=period_from.date() if period_from else None,
            period_to=period_to.date() if period_to else None,
        ),
    )


def freeze(
    symbol: Symbol,
    quantity: Quantity,
    account: Account,
    reference: Reference,
    key_file: KeyFile = None,
) -> None:
    """Freeze units of an account's registry position, for a court or the authority."""
    instruct(
        key_file,
        FreezeUnits(ref=0, symbol=symbol, account=account, quantity=quantity, reference=reference),
    )


def unfreeze(
    symbol: Symbol,
    quantity: Quantity,
    account: Account,
    reference: Reference,
    held_for: Annotated[int, typer.Option(help="To the entity for which they are held.")] = 0,
    key_file: KeyFile = None,
) -> None:
    """Give frozen units back to the account's registry position, or what is held to its entity.

    One person freezes; another, an operator or of the authority, approves the end (`exchange
    approve-transfer`).
    What is held for an entity goes to it at once, when its years are met.
    """
    instruct(
        key_file,
        UnfreezeUnits(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            reference=reference,
            held_for=held_for,
        ),
    )


def propose_reversal(
    symbol: Symbol,
    quantity: Quantity,
    original_id: Annotated[
        int,
        typer.Argument(
            help="Instruction id of the surrender or cancellation.",
            parser=whole,
            metavar="original_id",
        ),
    ],
    account: Account,
    reason: Annotated[str, typer.Option(help="Why.")],
    key_file: KeyFile = None,
) -> None:
    """Propose to undo a surrender or cancellation; another person has to approve it."""
    instruct(
        key_file,
        ProposeReversal(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            original_id=original_id,
            reason=reason,
        ),
    )


def approve_reversal(
    symbol: Symbol,
    quantity: Quantity,
    proposal_id: Annotated[
        int,
        typer.Argument(help="Instruction id of the proposal.", parser=whole, metavar="proposal_id"),
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Approve what another person proposed to undo."""
    instruct(
        key_file,
        ApproveReversal(
            ref=0, symbol=symbol, account=account, quantity=quantity, proposal_id=proposal_id
        ),
    )


def reversals(key_file: KeyFile = None, as_json: Json = False) -> None:
    """List what is proposed to be undone and not approved."""

    async def work(client: Client) -> None:
        found = (await client.reversals()).reversals
        table = make_table(
            "Proposed reversals", ">proposal", ">original", "account", "symbol", ">tonnes",
            "by", "until (UTC)", "reason",
        )  # fmt: skip
        for row in found:
            until = datetime.fromtimestamp(row.expires_ns // SECOND_NS, UTC)
            table.add_row(
                str(row.proposal_id),
                str(row.original_id),
                str(row.account),
                row.symbol,
                f"{row.quantity:,}",
                row.proposed_by,
                f"{until:%Y-%m-%d %H:%M}",
                row.reason,
            )
        show(table, found, as_json)

    with_client(key_file, work)


def serial(
    programme: Annotated[str, typer.Argument(help="Programme of the units, such as CEA.")],
    number: Annotated[int, typer.Argument(help="Serial number.", parser=whole, metavar="number")],
    count: Annotated[int, typer.Option(help="How many events, the last ones.")] = 100,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show what happened to one unit, from issuance to its state now."""

    async def work(client: Client) -> None:
        found = await client.serial_history(programme, number, limit=count)
        table = make_table(
            f"{programme} {number}", "time (UTC)", "what", "from", "to", "cause", "in serials"
        )
        for row in found.events:
            moment = datetime.fromtimestamp(row.time_ns // SECOND_NS, UTC)
            table.add_row(
                f"{moment:%Y-%m-%d %H:%M:%S}",
                row.kind,
                _place(row.from_account, row.from_position),
                _place(row.to_account, row.to_position),
                f"{row.cause} {row.cause_id}",
                f"{row.block.first}-{row.block.last}",
            )
        show(table, found.events, as_json)

    with_client(key_file, work)


def _place(account: int, position: str) -> str:
    return "" if position == "NONE" else f"{account} {position}"


def duplicates(key_file: KeyFile = None, as_json: Json = False) -> None:
    """List issuances that overlap, by serials or by a project's reductions: there must be none.

    And projects that two registries have, by name and region.
    """

    async def work(client: Client) -> None:
        found = await client.duplicate_issuances()
        rows: list[DuplicateRow | PeriodRow | TwiceRow] = [
            *found.duplicates,
            *found.periods,
            *found.projects,
        ]
        for row in rows:
            if as_json:
                show_json(row)
            else:
                typer.echo(_in_words(row))
        if rows:
            raise typer.Exit(1)
        if not as_json:
            typer.echo("no issuance overlaps another")

    with_client(key_file, work)


def _in_words(row: DuplicateRow | PeriodRow | TwiceRow) -> str:
    match row:
        case DuplicateRow():
            return f"{_issued(row.issuance)} overlaps {_issued(row.other)}"
        case PeriodRow():
            return (
                f"{_issued(row.issuance)}, project {row.project}, reductions of {row.period_from}"
                f"-{row.period_to} share days with {_issued(row.other)}, project "
                f"{row.other_project}, {row.other_from}-{row.other_to}"
            )
    pair = [
        f"{one.market} {one.programme} project {one.project}" for one in (row.project, row.other)
    ]
    return f"{' and '.join(pair)} are one: {row.project.name} {row.project.region}".rstrip()


def _issued(row: IssuanceRow) -> str:
    return (
        f"{row.market} instruction {row.instruction_id}: {row.range.programme} "
        f"{row.range.first}-{row.range.last}"
    )
