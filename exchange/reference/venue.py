"""The venue file: markets, instruments, participants, accounts and keys, typed and checked.

One TOML file says what a venue is. `exchange bootstrap` turns its instruments and accounts into
commands on `orders`; gateways take keys and roles from it; the registry takes unit types.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import tomllib
import zoneinfo
from pathlib import Path
from typing import Literal

import msgspec

from exchange.reference.fees import FEE_PARAMETERS, fee_parameters, schedule_named, shipped
from exchange.reference.signers import PERSON_FOLLOWS, signer
from exchange.reference.timetable import (
    LISTED_POLICY,
    Step,
    TradingCalendar,
    roll_problems,
    step_problems,
)
from exchange.settings import HOLIDAYS_MAX

VOID_DAYS_MAX = 250  # business days: a year
VAT_CODES = frozenset({"", "S", "Z", "E", "AE", "K", "G", "O"})
"""Tax category codes of EN 16931 (UN/CEFACT 5305); AE is the reverse charge."""

Role = Literal["participant", "operator", "authority", "verifier"]
Scope = Literal["read", "drop_copy", "trade", "registry", "operate"]
SCOPES: tuple[Scope, ...] = ("read", "drop_copy", "trade", "registry", "operate")
KEY_ADDRESSES_MAX = 64  # networks of one key
CODE_SIZE_MAX = 50  # characters of a code of an order record
_MIC = re.compile(r"|[A-Z0-9]{4}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shares cash and accounts: one partition of every topic."""

    code: str
    partition: int
    currency: str
    minor_digits: int = 2
    time_zone: str = "UTC"  # an IANA zone: its midnights part the venue's days
    holidays: tuple[dt.date, ...] = ()  # no business days, beside Saturdays and Sundays
    fee_vat_code: str = ""  # UN/CEFACT 5305 code on fee lines: S, Z, E, AE, K, G, O; "" = none
    registry_holidays: tuple[dt.date, ...] = ()  # its registry is closed; add days to come only
    withdrawal_alone_max: int = 100_000_000  # minor units that one person may pay out in a day
    deposit_alone_max: int = 100_000_000  # the same of taking in
    late_settlement_ppm: int = 0  # penalty for each cut-off missed, millionths of a trade's value
    timetable: tuple[Step, ...] = ()  # of its trading days; () = operators move the phases
    roll_at: str = ""  # HH:MM: the next trading date begins; "" = when operators roll it
    mic: str = ""  # ISO 10383, of the venue's segment; "" = none: order records say UNKNOWN

    @property
    def calendar(self) -> TradingCalendar:
        """The days on which it trades."""
        return TradingCalendar(self.time_zone, frozenset(self.holidays))


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something traded: one unit type, one vintage, one scheme. Prices are minor units a tonne."""

    id: int
    market: str
    symbol: str
    product: str  # EUA, CEA, CCER, GDEA, ...: the programme of its serial numbers
    scheme: str  # a scheme id of the rulebook: eu-ets, cn-national, ...
    kind: Literal["allowance", "offset"]
    vintage: int = 0
    generation: str = ""  # offsets: programme generation as the rulebook names it
    project_types: tuple[str, ...] = ()  # offsets: only units of such projects; () = of any
    regions: tuple[str, ...] = ()  # offsets: only units of projects in these; () = in any
    name: str = ""
    reference_price: int = 0
    parameters: dict[str, int] = {}  # frames.Parameter names in lower case
    fee_schedule: str = ""  # id of a schedule of the rulebook's fees.toml, instead of *_fee_bp
    settlement_cycle: Literal["T+0", "T+1"] = "T+0"  # T+1: both legs held until the cut-off
    settlement_cutoff: str = "16:00"  # of the next business day, in the market's time zone
    settlement_void_days: int = 0  # business days until one person may void what failed
    cancelled_fees: Literal["return", "keep"] = "return"  # the buyer's, of a trade that goes back
    offset_headroom: Literal["show", "enforce"] = "show"  # when an emitter buys the offset
    kept_by: str = ""  # market whose registry keeps and issues the units; "" = its own
    timetable: tuple[Step, ...] | None = None  # instead of its market's; [] = none
    isin: str = ""  # ISO 6166; "" = none: order records say UNKNOWN


class Participant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member firm."""

    id: int
    name: str
    lei: str = ""
    intake: bool = False  # it sends orders over its own Kafka topic


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account of a participant in one market, with a registry account of the same number."""

    id: int
    participant: int
    market: str
    name: str
    type: Literal["emitter", "trading", "house"] = "trading"


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may sign: an Ed25519 public key or a file with an HMAC secret, its role and its session.

    Of two keys with one `person` neither can approve what the other has proposed. The last five say
    what order records ask of a member and its orders do not: who trades in two ways has two keys.
    """

    id: str
    participant: int
    role: Role
    session: int  # 1000..4294967295; below are the venue's own
    public_key: str = ""  # base64 of 32 bytes
    algorithm: Literal["ed25519", "hmac-sha256"] = "ed25519"
    secret_file: str = ""  # hmac-sha256: a file of the gateway that its owner alone may read
    scopes: tuple[Scope, ...] = SCOPES  # beside the role: what of it this key may do
    addresses: tuple[str, ...] = ()  # networks (CIDR) it may be used from; () = any
    not_before: dt.datetime | None = None
    expires: dt.datetime | None = None  # from this moment on it is no longer taken
    revoked: bool = False
    person: str = ""  # who uses it; "" = the key stands for a person by itself
    trading_capacity: Literal["", "DEAL", "MTCH", "AOTC"] = ""  # own account, matched, any other
    direct_electronic_access: bool | None = None  # whether a client of the member sends with it
    investment_decision: str = ""  # code of the person or algorithm that decides to trade
    execution_decision: str = ""  # of the one that decides how
    non_executing_broker: str = ""  # LEI of who passed the orders on

    @property
    def who(self) -> str:
        """The person behind the key."""
        return self.person or self.id

    @property
    def signer(self) -> str:
        """Key and person, as the record of an act for two persons says it."""
        return signer(self.id, self.person)


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    name: str
    market: tuple[Market, ...]
    instrument: tuple[Instrument, ...]
    participant: tuple[Participant, ...] = ()
    account: tuple[Account, ...] = ()
    key: tuple[Key, ...] = ()

    def market_of(self, code: str) -> Market:
        """The market with that code; KeyError names the known ones."""
        for market in self.market:
            if market.code == code:
                return market
        raise KeyError(f"market {code}: known are {', '.join(m.code for m in self.market)}")

    def instruments_of(self, code: str) -> tuple[Instrument, ...]:
        """Instruments of a market, by id."""
        own = (item for item in self.instrument if item.market == code)
        return tuple(sorted(own, key=lambda item: item.id))

    def twin_of(self, instrument: Instrument) -> Instrument:
        """The same unit in the market whose registry keeps it; KeyError without one."""
        what = (instrument.product, instrument.generation, instrument.vintage)
        for item in self.instruments_of(instrument.kept_by):
            if (item.product, item.generation, item.vintage) == what and not item.kept_by:
                return item
        raise KeyError(f"{instrument.symbol}: no such unit in market {instrument.kept_by!r}")

    def timetable_of(self, instrument: Instrument) -> tuple[Step, ...]:
        """The steps of its trading day, its own or its market's; () = none."""
        if instrument.timetable is not None:
            return instrument.timetable
        return self.market_of(instrument.market).timetable

    def accounts_of(self, code: str) -> tuple[Account, ...]:
        """Accounts of a market, by id."""
        own = (item for item in self.account if item.market == code)
        return tuple(sorted(own, key=lambda item: item.id))


REGISTRY_SESSION = 1
"""Session of the registry's deposits on `orders`; its `ref` is the number of the deposit."""

SETTLEMENT_SESSION = 2
"""Session of settlement's steps on `orders`; its `ref` is the number of the step."""

SETTLED_RESALE = 2
"""The value of parameter `resale_next_day` of a T+1 instrument, `frames.Resale.SETTLED`."""

MESSAGE_SESSION = 100
"""Session of a registry's messages to others: this plus the partition of its own market."""

TIMETABLE_SESSION = 998
"""Session of the timetable on `orders`: behind each step a tick, whose `ref` counts them."""

TIMETABLE = "timetable"
"""The key in the words of its steps; nobody's key has this id."""

DECISION_SESSION = 999
"""Session of what operators decide by what stands, on `orders`: approvals, and what one may alone.

Its `ref` is one above the last that was read: of two who decide by the same, the engine takes one.
"""

PARTITION_MAX = 799
"""So that the sessions of the registries' messages stay below those of members."""


def load_venue(path: Path) -> Venue:
    """Reads and checks a venue file; ValueError names the file, the table and the fault.

    Names of secret files stand relative to the venue file and come out with its folder before them.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        venue = msgspec.convert(raw, Venue)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {error}") from error
    problems = check_venue(venue)
    if problems:
        raise ValueError(f"{path}: " + "; ".join(problems))
    keys = tuple(
        msgspec.structs.replace(key, secret_file=str(path.parent / key.secret_file))
        if key.secret_file
        else key
        for key in venue.key
    )
    return msgspec.structs.replace(venue, key=keys)


def check_venue(venue: Venue) -> list[str]:
    """Every inconsistency in words; [] is sound."""
    problems = []
    tables: list[tuple[str, list[object]]] = [
        ("market.code", [m.code for m in venue.market]),
        ("market.partition", [m.partition for m in venue.market]),
        ("instrument.id", [(i.market, i.id) for i in venue.instrument]),
        ("instrument.symbol", [i.symbol for i in venue.instrument]),
        ("participant.id", [p.id for p in venue.participant]),
        ("account.id", [(a.market, a.id) for a in venue.account]),
        ("key.id", [k.id for k in venue.key]),
        ("key.session", [k.session for k in venue.key]),
    ]
    for name, values in tables:
        if len(set(values)) != len(values):
            problems.append(f"{name}: a value stands twice")
    codes = {m.code for m in venue.market}
    firms = {p.id for p in venue.participant}
    problems += [problem for market in venue.market for problem in _market_problems(market)]
    problems += [
        f"instrument {i.symbol}: unknown market {i.market}"
        for i in venue.instrument
        if i.market not in codes
    ]
    problems += [
        f"instrument {i.symbol}: id {i.id} is outside 1..65535"
        for i in venue.instrument
        if not 1 <= i.id <= 65_535
    ]
    problems += [
        f"instrument {i.symbol}: isin {i.isin!r} is no ISIN, or its last digit is wrong"
        for i in venue.instrument
        if i.isin and not is_isin(i.isin)
    ]
    problems += _registry_problems(venue)
    problems += [problem for i in venue.instrument for problem in _cycle_problems(i)]
    problems += _timetable_problems(venue)
    currencies = {m.code: m.currency for m in venue.market}
    problems += [p for i in venue.instrument for p in _fee_problems(i, currencies.get(i.market))]
    problems += [
        f"account {a.id}: unknown market {a.market} or participant {a.participant}"
        for a in venue.account
        if a.market not in codes or a.participant not in firms
    ]
    problems += [
        f"key {k.id}: unknown participant {k.participant}"
        for k in venue.key
        if k.participant not in firms
    ]
    problems += [
        f"key {k.id}: session {k.session} is outside 1000..4294967295"
        for k in venue.key
        if not 1_000 <= k.session < 2**32
    ]
    problems += [
        f"key {TIMETABLE}: the steps of timetables stand under this id: give the key another"
        for k in venue.key
        if k.id == TIMETABLE
    ]
    problems += [problem for k in venue.key for problem in key_problems(k)]
    return problems


def is_isin(text: str) -> bool:
    """Whether a text is an ISIN whose last digit is right (ISO 6166; Luhn over base 36). O(1)."""
    if _ISIN.fullmatch(text) is None:
        return False
    digits = [int(digit) for letter in text for digit in str(int(letter, 36))]
    doubled = [2 * digit for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def key_problems(key: Key) -> list[str]:
    """What is wrong with a key by itself, in words; [] is sound."""
    problems = []
    has_public, has_secret = bool(key.public_key), bool(key.secret_file)
    is_hmac = key.algorithm == "hmac-sha256"
    if (has_public, has_secret) != (not is_hmac, is_hmac):
        wanted = "secret_file and no public_key" if is_hmac else "public_key and no secret_file"
        problems.append(f"key {key.id}: {key.algorithm} needs {wanted}")
    if len(key.addresses) > KEY_ADDRESSES_MAX:
        problems.append(f"key {key.id}: {len(key.addresses)} addresses, at most 64")
    for text in key.addresses:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            problems.append(f"key {key.id}: address {text!r} is no network such as 10.0.0.0/8")
    if PERSON_FOLLOWS in key.id:
        problems.append(f"key {key.id}: an id has no bracket behind a space, a person follows it")
    problems += [
        f"key {key.id}: {name} {moment.isoformat()} has no offset from UTC; write a Z behind it"
        for name, moment in (("not_before", key.not_before), ("expires", key.expires))
        if moment is not None and moment.tzinfo is None
    ]
    problems += [
        f"key {key.id}: {name} has {len(getattr(key, name))} characters, at most {CODE_SIZE_MAX}"
        for name in ("investment_decision", "execution_decision", "non_executing_broker")
        if len(getattr(key, name)) > CODE_SIZE_MAX
    ]
    if not problems and key.not_before and key.expires and key.not_before >= key.expires:
        problems.append(f"key {key.id}: it expires before it begins")
    return problems


def _market_problems(m: Market) -> list[str]:
    checks = {
        f"unknown time zone {m.time_zone!r}": _is_zone(m.time_zone),
        f"fee_vat_code {m.fee_vat_code!r} is none of {sorted(VAT_CODES)}": m.fee_vat_code
        in VAT_CODES,
        f"mic {m.mic!r} is not four capital letters or digits": _MIC.fullmatch(m.mic) is not None,
        f"minor_digits {m.minor_digits} is outside 0..4": 0 <= m.minor_digits <= 4,
        f"deposit_alone_max {m.deposit_alone_max} is below 0": m.deposit_alone_max >= 0,
        f"withdrawal_alone_max {m.withdrawal_alone_max} is below 0": m.withdrawal_alone_max >= 0,
        f"late_settlement_ppm {m.late_settlement_ppm} is outside 0..1000000": 0
        <= m.late_settlement_ppm
        <= 1_000_000,
    }
    return [f"market {m.code}: {problem}" for problem, is_sound in checks.items() if not is_sound]


def _registry_problems(venue: Venue) -> list[str]:
    problems = [
        f"instrument {i.symbol}: kept_by {i.kept_by!r} is no other market with the same unit"
        for i in venue.instrument
        if i.kept_by and not _has_twin(venue, i)
    ]
    problems += [
        f"market {m.code}: {len(m.registry_holidays)} registry_holidays, at most {HOLIDAYS_MAX}"
        for m in venue.market
        if len(m.registry_holidays) > HOLIDAYS_MAX
    ]
    problems += [
        f"market {m.code}: partition {m.partition} is outside 0..{PARTITION_MAX}"
        for m in venue.market
        if not 0 <= m.partition <= PARTITION_MAX
    ]
    return problems


def _has_twin(venue: Venue, instrument: Instrument) -> bool:
    if instrument.kept_by == instrument.market:
        return False
    try:
        venue.twin_of(instrument)
    except KeyError:
        return False
    return True


def _cycle_problems(item: Instrument) -> list[str]:
    problems = []
    try:
        dt.time.fromisoformat(item.settlement_cutoff)
    except ValueError:
        problems.append(
            f"instrument {item.symbol}: settlement_cutoff {item.settlement_cutoff!r} is no HH:MM"
        )
    if not 0 <= item.settlement_void_days <= VOID_DAYS_MAX:
        problems.append(
            f"instrument {item.symbol}: settlement_void_days {item.settlement_void_days} is "
            f"outside 0..{VOID_DAYS_MAX}"
        )
    is_later = item.settlement_cycle == "T+1"
    if "resale_next_day" in item.parameters and (
        is_later or item.parameters["resale_next_day"] == SETTLED_RESALE
    ):
        problems.append(
            f"instrument {item.symbol}: resale_next_day of a T+1 instrument is set by "
            "settlement_cycle, and by nothing else"
        )
    return problems


def _timetable_problems(venue: Venue) -> list[str]:
    problems = []
    for market in venue.market:
        own = venue.instruments_of(market.code)
        named = f"market {market.code}: timetable"
        problems += [f"{named}: {words}" for words in step_problems(market.timetable)]
        for item in own:
            is_listed = item.parameters.get("policy") == LISTED_POLICY
            named = f"instrument {item.symbol}: timetable"
            if item.timetable is not None or is_listed:
                steps = venue.timetable_of(item)
                found = step_problems(steps, is_listed=is_listed)
                problems += [f"{named}: {words}" for words in found]
        if not problems:
            timetables = [market.timetable, *(venue.timetable_of(item) for item in own)]
            found = roll_problems(market.roll_at, timetables)
            problems += [f"market {market.code}: {words}" for words in found]
        if (market.timetable or market.roll_at) and len(market.holidays) > HOLIDAYS_MAX:
            problems.append(
                f"market {market.code}: {len(market.holidays)} holidays, at most {HOLIDAYS_MAX}"
            )
    return problems


def _fee_problems(item: Instrument, currency: str | None) -> list[str]:
    if not item.fee_schedule or currency is None:
        return []
    own = sorted(set(FEE_PARAMETERS) & item.parameters.keys())
    if own:
        return [f"instrument {item.symbol}: fee_schedule and {', '.join(own)}: one of them"]
    try:
        fee_parameters(schedule_named(shipped(), item.fee_schedule), currency)
    except ValueError as error:
        return [f"instrument {item.symbol}: {error}"]
    return []


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True
