"""Commands of market operations: halts, the kill switch, limits, approvals; and who may log in.

Whatever loosens becomes a proposal: its number is printed, and another operator approves it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.console import Console

from exchange.messages.executions import OperationReport
from exchange.messages.operations import (
    Approve,
    Control,
    Decision,
    Decline,
    Halt,
    Kill,
    Lift,
    LimitWord,
    Resume,
    ResumedPhaseWord,
    SetLimit,
)
from exchange.reference.venue import load_venue
from exchange.rulebook import Rulebook, load_rulebook
from exchange.rulebook.allocation import holding_limit as rule_of_holding
from exchange.rulebook.allocation import position_limits, position_market
from exchange.settings import PASSWORD_CHARACTERS_MAX
from gateway.access.operators import (
    FILE,
    load_operators,
    make_operator,
    otpauth_uri,
    save_operators,
)
from gateway.cli.options import KeyFile, make_table, utc, whole, with_client
from gateway.cli.output import Json, show
from gateway.client import Client
from gateway.demo.demo_keys import VENUE_FILE
from gateway.replies.control import ActList, ProposalList
from gateway.replies.limits import RatioList
from gateway.replies.market import InstrumentRow

PATHS: dict[type[Control | Decision], str] = {
    Halt: "/operations/halt",
    Resume: "/operations/resume",
    Kill: "/operations/kill",
    Lift: "/operations/lift",
    SetLimit: "/operations/limit",
    Approve: "/operations/approve",
    Decline: "/operations/decline",
}

_Market = Annotated[str, typer.Argument(help="Market code, such as EU.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the act.")]
_Symbol = Annotated[str, typer.Option("--symbol", help="One instrument; without it all.")]
_Account = Annotated[int, typer.Option("--account", help="An account.", parser=whole)]
_Participant = Annotated[int, typer.Option("--participant", help="A participant.", parser=whole)]
_Session = Annotated[int, typer.Option("--session", help="A key's session.", parser=whole)]
_Proposal = Annotated[int, typer.Argument(help="Number of the proposal.", parser=whole)]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (
        halt, resume, kill, lift, limit, holding_limit, approve, decline, proposals, acts,
        order_to_trade, opening,
    ):  # fmt: skip
        app.command()(command)
    people = typer.Typer(help="Who may log in at POST /login.", no_args_is_help=True)
    people.command("add")(add_operator)
    people.command("list")(list_operators)
    people.command("remove")(remove_operator)
    app.add_typer(people, name="operator")


def halt(market: _Market, reason: _Reason, symbol: _Symbol = "", key_file: KeyFile = None) -> None:
    """Halt an instrument, or all of a market."""
    _send(key_file, Halt(ref=0, market=market, reason=reason, symbol=symbol))


def resume(
    market: _Market,
    reason: _Reason,
    symbol: _Symbol = "",
    phase: Annotated[str, typer.Option(help="CONTINUOUS or OPENING_CALL.")] = "CONTINUOUS",
    key_file: KeyFile = None,
) -> None:
    """End a halt; of a whole market another operator has to approve it."""
    word = cast(ResumedPhaseWord, _one_of(phase, get_args(ResumedPhaseWord)))
    _send(key_file, Resume(ref=0, market=market, reason=reason, symbol=symbol, phase=word))


def kill(
    market: _Market,
    reason: _Reason,
    participant: _Participant = 0,
    account: _Account = 0,
    session: _Session = 0,
    key_file: KeyFile = None,
) -> None:
    """Stop a participant, an account or a session: live orders end, only cancels are heard."""
    named = {"participant": participant, "account": account, "session": session}
    _send(key_file, Kill(ref=0, market=market, reason=reason, **named))


def lift(
    market: _Market,
    reason: _Reason,
    participant: _Participant = 0,
    account: _Account = 0,
    session: _Session = 0,
    key_file: KeyFile = None,
) -> None:
    """Propose to end a kill."""
    named = {"participant": participant, "account": account, "session": session}
    _send(key_file, Lift(ref=0, market=market, reason=reason, **named))


def limit(
    market: _Market,
    parameter: Annotated[str, typer.Argument(help="Such as BAND_BP, ORDER_RATE, MESSAGE_RATE.")],
    value: Annotated[int, typer.Argument(help="In the limit's unit.", parser=whole)],
    reason: _Reason,
    symbol: _Symbol = "",
    account: _Account = 0,
    participant: _Participant = 0,
    session: _Session = 0,
    key_file: KeyFile = None,
) -> None:
    """Set a limit: tighter at once, looser when another operator approves."""
    word = cast(LimitWord, _one_of(parameter, get_args(LimitWord)))
    request = SetLimit(
        ref=0,
        market=market,
        parameter=word,
        value=value,
        reason=reason,
        symbol=symbol,
        account=account,
        participant=participant,
        session=session,
    )
    _send(key_file, request)


def holding_limit(
    market: _Market,
    symbol: Annotated[str, typer.Argument(help="Allowances of a scheme that has the rule.")],
    budget: Annotated[
        int,
        typer.Argument(
            help="The year's budget, or the account's allocation of it, tonnes.", parser=whole
        ),
    ] = 0,
    account: Annotated[int, typer.Option(help="Beijing: a covered entity's; 0: all others.")] = 0,
    key_file: KeyFile = None,
) -> None:
    """Set how much an account may hold to what the rules of the scheme or its venue say.

    HOLDING_MAX of the instrument, by the scheme's rule for a year's budget (California) or the
    venue's for those who are not covered (Beijing, without a budget). With --account and its yearly
    allocation INSTRUMENT_HOLDING_MAX of that account. Rule and source are printed, and kept as the
    reason; where the venue publishes large positions, from where.
    """

    async def work(client: Client) -> None:
        found = (await client.instruments()).instruments
        row = next((row for row in found if (row.market, row.symbol) == (market, symbol)), None)
        if row is None:
            raise ValueError(f"market {market} has no instrument {symbol[:40]!r}")
        request = holding_request(load_rulebook(), row, budget, account)
        typer.echo(f"{request.value:,} t: {request.reason}")
        _say(await client.operate(PATHS[SetLimit], request))

    with_client(key_file, work)


def holding_request(
    rulebook: Rulebook, row: InstrumentRow, budget_t: int, account: int = 0
) -> SetLimit:
    """The limit that the rulebook gives for a year's budget, or for an account's allocation.

    ValueError where it has none. O(markets of the rulebook).
    """
    scheme = rulebook.scheme_of(row.scheme)
    rule = scheme.holding_limit if scheme is not None else None
    market = position_market(rulebook, row.product)
    if row.kind != "allowance" or (rule is None and market is None):
        raise ValueError(f"the rulebook has no holding limit for {row.symbol} of {row.scheme}")
    if market is not None:
        if budget_t and not account:
            raise ValueError(f"an allocation is an account's: give --account, for {row.symbol}")
        value, published_t = position_limits(market, budget_t if account else None)
        whose = "who is not covered"
        if account:
            whose = f"account {account} with {budget_t} t allocated"
        what = f"position limit of {market.id} for {whose}, published above {published_t} t"
        sources, confidence = market.sources, market.confidence
    else:
        if rule is None or account:
            raise ValueError(f"the limit of {row.symbol} is one for all: leave --account out")
        value = rule_of_holding(rule, budget_t)
        what = f"holding limit of {row.scheme} for a budget of {budget_t} t"
        sources, confidence = rule.sources, rule.confidence
    return SetLimit(
        ref=0,
        market=row.market,
        parameter="INSTRUMENT_HOLDING_MAX" if account else "HOLDING_MAX",
        value=value,
        reason=f"{what}, by {rulebook.cited(sources)} [confidence {confidence}]",
        symbol=row.symbol,
        account=account,
    )


def approve(
    market: _Market, proposal: _Proposal, reason: _Reason = "", key_file: KeyFile = None
) -> None:
    """Approve another operator's proposal, which is carried out by it."""
    _send(key_file, Approve(ref=0, market=market, proposal_id=proposal, reason=reason))


def decline(
    market: _Market, proposal: _Proposal, reason: _Reason = "", key_file: KeyFile = None
) -> None:
    """End a proposal."""
    _send(key_file, Decline(ref=0, market=market, proposal_id=proposal, reason=reason))


def proposals(market: _Market, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Show what waits for a second operator."""

    async def work(client: Client) -> None:
        reply = await client.rest.get("/operations/proposals", ProposalList, market=market)
        table = make_table(f"{market}: proposals", ">number", "until UTC", "who", "what", "why")
        for row in reply.proposals:
            what = _words(row.body)
            table.add_row(str(row.proposal_id), utc(row.ends_ns), row.who, what, row.reason)
        show(table, reply.proposals, as_json)

    with_client(key_file, work)


def acts(
    market: _Market,
    after: Annotated[int, typer.Option(help="Position of the last one seen.", parser=whole)] = 0,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show what operators did, by whom and why."""

    async def work(client: Client) -> None:
        reply = await client.rest.get("/operations/acts", ActList, market=market, after=after)
        table = make_table(
            f"{market}: acts", ">position", "UTC", "stage", "outcome", "who", "what", "why"
        )
        for line in reply.acts:
            table.add_row(
                str(line.position), utc(line.time_ns), line.stage, line.outcome, line.who,
                _words(line.body), line.reason,
            )  # fmt: skip
        show(table, reply.acts, as_json)

    with_client(key_file, work)


def opening(market: _Market, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Show whether the books let a market open, and each check of its last reconciliation.

    Exit code 1: it may not open.

    exchange opening EU
    """

    async def work(client: Client) -> None:
        found = await client.opening(market)
        table = make_table(
            f"{market}: trading date {found.trading_date}, "
            + ("may open" if found.may_open else f"stays closed: {found.title} ({found.reason})"),
            "check", "", ">breaks", "figures",
        )  # fmt: skip
        for row in found.checks:
            state = "ok" if row.is_green else "BROKEN"
            table.add_row(row.name, state, str(row.breaks), row.figures)
        show(table, [found], as_json)
        if not as_json:
            when = f"{utc(found.reconciled_ns)} UTC" if found.reconciled_ns else "never"
            typer.echo(f"reconciled {when}, trading date {found.reconciled_date}")
            typer.echo(found.text or f"closed: {', '.join(found.closed) or 'nothing'}")
        if not found.may_open:
            raise typer.Exit(1)

    with_client(key_file, work)


def order_to_trade(
    market: Annotated[str, typer.Option(help="One market, or all.")] = "",
    is_closed: Annotated[bool, typer.Option("--closed", help="Of the day before.")] = False,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show orders to trades of the day, as RTS 9 counts, beside the limits that operators set.

    A member above its limit (* beside it) sends one order a second until trades or the next day
    bring it down.
    """

    async def work(client: Client) -> None:
        day = "closed" if is_closed else "today"
        found = (await client.rest.get("/order-to-trade", RatioList, market=market, day=day)).ratios
        table = make_table(
            "Orders to trades", "market", ">participant", "symbol", ">messages", ">trades",
            ">ratio", ">limit", ">tonnes ordered", ">traded", ">ratio", ">limit", "",
        )  # fmt: skip
        for row in found:
            table.add_row(
                row.market, str(row.participant), row.symbol, f"{row.messages:,}",
                f"{row.trades:,}", f"{row.number_ratio:,}", _limit(row.number_limit),
                f"{row.ordered:,}", f"{row.traded:,}", f"{row.volume_ratio:,}",
                _limit(row.volume_limit), "*" if row.is_exceeded else "",
            )  # fmt: skip
        show(table, found, as_json)

    with_client(key_file, work)


# -- who may log in -------------------------------------------------------------------------------

_Data = Annotated[Path, typer.Option("--data", help="The gateway's data folder.")]
_Name = Annotated[str, typer.Argument(help="The operator's name.")]
_Venue = Annotated[
    Path | None, typer.Option("--venue", help="The venue file; without it DATA/venue.toml.")
]


def add_operator(
    name: _Name,
    data: _Data,
    venue: _Venue = None,
    role: Annotated[str, typer.Option(help="operator or authority.")] = "operator",
    participant: Annotated[
        int, typer.Option(help="Whose key it acts as.", parser=whole, metavar="NUMBER")
    ] = 1,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; without it you are asked.")
    ] = None,
    person: Annotated[
        str, typer.Option(help="Who it is, where a key or another login is theirs, too.")
    ] = "",
) -> None:
    """Make somebody who may log in; the secret of the codes is printed this once."""

    def work() -> None:
        path = data / FILE
        known = load_operators(path, load_venue(venue or data / VENUE_FILE))
        if any(item.name == name for item in known):
            raise ValueError(f"{path}: {name} is there already")
        kind: Any = _one_of(role, ("operator", "authority"))
        made = make_operator(name, _password(password_file), kind, participant, known, person)
        save_operators(path, (*known, made))
        load_operators(path, load_venue(venue or data / VENUE_FILE))
        typer.echo(f"{name}: role {role}, session {made.session}, in {path}")
        typer.echo(f"secret of the codes, shown once: {made.totp_secret}\n{otpauth_uri(made)}")

    _attempt(work)


def list_operators(data: _Data, venue: _Venue = None, as_json: Json = False) -> None:
    """Show who may log in."""

    def work() -> None:
        table = make_table("operators", "name", "role", ">participant", ">session", "person")
        rows = [
            {"name": item.name, "role": item.role, "participant": item.participant,
             "session": item.session, "person": item.key.who}
            for item in load_operators(data / FILE, load_venue(venue or data / VENUE_FILE))
        ]  # fmt: skip
        for row in rows:
            table.add_row(*map(str, row.values()))
        show(table, rows, as_json)

    _attempt(work)


def remove_operator(name: _Name, data: _Data, venue: _Venue = None) -> None:
    """Take somebody off the list; a running gateway ends the logins within a second."""

    def work() -> None:
        path = data / FILE
        known = load_operators(path, load_venue(venue or data / VENUE_FILE))
        rest = [item for item in known if item.name != name]
        if len(rest) == len(known):
            raise ValueError(f"{path}: no operator {name}")
        save_operators(path, rest)
        typer.echo(f"{name} may no longer log in")

    _attempt(work)


def _password(path: Path | None) -> str:
    if path is not None:
        return path.read_text("utf-8").rstrip("\n")
    if not sys.stdin.isatty():
        raise ValueError("give --password-file, or ask in a terminal; never as an argument")
    return str(typer.prompt("password", hide_input=True, confirmation_prompt=True))[
        : PASSWORD_CHARACTERS_MAX + 1
    ]


def _attempt(work: Any) -> None:
    try:
        work()
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _send(key_file: Path | None, request: Control | Decision) -> None:
    async def work(client: Client) -> None:
        report = await client.operate(PATHS[type(request)], request)
        _say(report)

    with_client(key_file, work)


def _say(report: OperationReport) -> None:
    out = Console(highlight=False, soft_wrap=True)
    if report.status == "PROPOSED":
        out.print(
            f"[bold]PROPOSED[/bold] {report.proposal_id}: another operator has to approve it\n"
            f"  exchange approve {report.market} {report.proposal_id}"
        )
        return
    told = f": {report.text}" if report.text else ""
    out.print(f"[bold]{report.status}[/bold] at {report.market} {report.request_id}{told}")


def _limit(value: int) -> str:
    return f"{value:,}" if value else "none"


def _one_of(word: str, known: tuple[str, ...]) -> str:
    if word not in known:
        raise typer.BadParameter(f"{word[:40]!r} is none of {', '.join(known)}")
    return word


def _words(body: object) -> str:
    fields = {name: getattr(body, name) for name in getattr(body, "__struct_fields__", ())}
    shown = [
        f"{name} {value}" for name, value in fields.items()
        if value and name not in ("ref", "market", "reason")
    ]  # fmt: skip
    return f"{type(body).__name__} {', '.join(shown)}".strip()
