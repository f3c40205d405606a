"""The registry service of one market: follows `settlements`, keeps the serial blocks.

It accepts the next number only, drops lower ones and stops at a gap. A batch's effect, the position
and both outboxes (records for `registry`, deposits for `orders`) are one transaction. Deposits go
out in frames, one after the other and again from the first that the engine has not confirmed; the
engine knows them by their dense `ref`, so a repeat is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import msgspec
import structlog

from exchange import metrics, topics
from exchange.clock import Clock, SystemClock, random_id
from exchange.database import Database
from exchange.database.connection import REFUSALS, is_locked
from exchange.fault_points import reached
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogUnavailableError,
    Record,
    end_behind,
)
from exchange.messages.frames import (
    COUNT_MAX,
    Command,
    Instruction,
    build_commands,
    command,
    notes,
)
from exchange.messages.registry import (
    InstructionRefused,
    RegistryItem,
    RegistryRecord,
    UnitsSurrendered,
)
from exchange.messages.settlement import SettlementRecord
from exchange.outbox import NumberedTopic, NumberedValue, OutboxGapError, pause
from exchange.reference.venue import MESSAGE_SESSION, REGISTRY_SESSION, Market, Venue
from exchange.registry.carry_over import Applicant, applicants, old_instruments
from exchange.registry.holdings import Holdings
from exchange.registry.instructions import Registrar
from exchange.registry.places import NotInMemoryError
from exchange.registry.refusals import RegistryBrokenError
from exchange.registry.reversals import Named, named_by
from exchange.registry.rows import Deposit, Place, RegistryPosition
from exchange.registry.standings import Outgoing
from exchange.registry.store import RegistryMovedError, RegistryStore
from exchange.registry.two_reversals import messages_named
from exchange.registry.wants import Wanted, wanted_by, wanted_when_due
from exchange.registry.year_queries import dealings_of
from exchange.rulebook import Rulebook, load_rulebook
from exchange.service import Drain, draining
from exchange.settings import (
    CARRY_OUT_EVERY_S,
    READ_RECORDS_MAX,
    READ_WAIT_MS,
    REGISTRY_BATCH_ITEMS_MAX,
    REGISTRY_BLOCKS_MAX,
    REGISTRY_MESSAGES_MAX,
    REGISTRY_RECORD_BYTES_MAX,
)

RECORD_VERSION = 1
_LAG_EVERY_NS = 5_000_000_000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SettlementRecord).decode
logger = structlog.get_logger(__name__)


class SequenceBrokenError(Exception):
    """`settlements` does not continue what was read: a gap, or no such record; stop."""


class RegistryService:
    """Keeps one market's registry in `database`, whose schema must be up to date.

    ValueError when a product of the market is issued in another market of the venue too: a
    programme's serial numbers are given out in one place.
    """

    def __init__(
        self,
        log: Log,
        market: Market,
        venue: Venue,
        database: Database,
        *,
        clock: Clock | None = None,
        rulebook: Rulebook | None = None,
    ) -> None:
        self.name = f"registry-{market.code}"
        self._log = log
        self._market = market
        self._venue = venue
        self._clock = clock or SystemClock()
        self._rulebook = rulebook or load_rulebook()
        self._instruments = {i.id: i for i in venue.instruments_of(market.code)}
        _check_products(venue, market)
        self._database = database
        self._store = RegistryStore(database, market.partition, self._instruments)
        self._topic = NumberedTopic(log, topics.registry(market.partition))
        self._position = RegistryPosition()
        self._registrar = Registrar(Holdings(self._position), market, venue, self._rulebook)
        self._deposits: list[Deposit] = []  # not acknowledged by the log to this process
        self._messages: list[Outgoing] = []  # nor these
        self._messages_sent = 0
        self._say_again_ns = 0  # monotonic
        self._writer, self._batch = random_id(), 0
        self._ready = False
        self._lag_read_ns = 0
        self._offset_use_bp = 0
        self._logger = logger.bind(market=market.code)

    @property
    def is_ready(self) -> bool:
        """True once everything is registered that `settlements` held at the start."""
        return self._ready

    @property
    def position(self) -> RegistryPosition:
        """How far the books are."""
        return self._position

    @property
    def holdings(self) -> Holdings:
        """The state as it is after the last batch; read only."""
        return self._registrar.holdings

    async def run(self, stop: asyncio.Event) -> None:
        """Registers until `stop` is set; see `Service.run`.

        Raises SequenceBrokenError, RegistryBrokenError, OutboxGapError or the database's error.
        """
        settlements = topics.settlements(self._market.partition)
        try:
            async with draining(self._log, settlements, stop) as drain:
                while not drain.over.is_set():
                    await self._try_to_follow(drain)
        except (SequenceBrokenError, RegistryBrokenError) as error:
            metrics.STATE_HASH_MISMATCH.labels("registry").inc()
            self._logger.error(
                "registry stopped: its books and settlements differ",
                error=str(error),
                settlement_number=self._position.settlement_number,
                settlements_offset=self._position.topic_offset,
            )
            raise

    async def take_up(self, stop: asyncio.Event) -> None:
        """Loads the books, and says what was written and perhaps not said."""
        await self.load()
        await self._topic.look()
        await self._publish_left_over(stop)
        await self._send_deposits(stop)
        await self._send_messages(stop)

    async def _try_to_follow(self, drain: Drain) -> None:
        """Follows until something is away or in the way, which is told and waited for."""
        try:
            await self._load_and_follow(drain)
        except RegistryMovedError as error:
            self._logger.warning("another process keeps this registry", error=str(error))
        except LogUnavailableError as error:
            self._logger.warning("log unavailable, will retry", error=str(error))
            await pause(drain.over)
        except REFUSALS as error:
            if not is_locked(error):
                raise
            self._logger.warning("books are locked, will retry", error=str(error))
            await pause(drain.over)

    async def _load_and_follow(self, drain: Drain) -> None:
        await self.take_up(drain.over)
        settlements = topics.settlements(self._market.partition)
        target = await end_behind(self._log, settlements, self._position.topic_offset)
        reader = await self._log.open_reader(settlements, self._position.topic_offset)
        self._logger.info("registering", settlements_offset=reader.position, end=target)
        try:
            while not drain.over.is_set():
                self._ready = self._ready or reader.position >= target
                records = await reader.read(READ_RECORDS_MAX, READ_WAIT_MS / 1000)
                if records:
                    await self.register([(r.offset, r.value) for r in records], drain.over)
                    await self._show_lag(records[-1])
                await self.say_time()
                drain.reached(reader.position)
        finally:
            await reader.close()

    async def load(self) -> RegistryPosition:
        """Takes up the state in the books, forgetting what was not written."""
        loaded = await self._store.load()
        self._position = loaded.position
        self._registrar = Registrar(loaded.holdings, self._market, self._venue, self._rulebook)
        self._deposits = list(loaded.unconfirmed)
        self._messages = list(loaded.unsent)
        self._messages_sent = loaded.position.messages_sent
        # The books learn with the next batch what is on the topic: who knows more keeps it.
        self._topic.published = max(self._topic.published, loaded.position.published)
        return loaded.position

    async def register(
        self, records: Sequence[tuple[int, bytes]], stop: asyncio.Event | None = None
    ) -> None:
        """Books (offset, value) of `settlements` in batches, and publishes each batch.

        Without `stop` (rebuilding) nothing is published or sent. Blocks that an item takes and
        nobody foresaw are read, and what is not written yet is registered anew.
        """
        unforeseen: set[Place] = set()
        while True:
            try:
                return await self._register(records, stop, unforeseen)
            except NotInMemoryError as error:
                if error.place in unforeseen:
                    raise RegistryBrokenError(f"{error}, though they had been read") from error
                unforeseen.add(error.place)
                self._logger.error("blocks were not foreseen, read now", error=str(error))
                await self.load()

    async def _register(
        self,
        records: Sequence[tuple[int, bytes]],
        stop: asyncio.Event | None,
        unforeseen: Collection[Place],
    ) -> None:
        expected, items = self._position.settlement_number, 0
        outbox: list[NumberedValue] = []
        last: SettlementRecord | None = None
        for offset, value in records:
            record = self._decode(offset, value)
            if record.number < expected:
                continue
            if record.number > expected:
                raise SequenceBrokenError(
                    f"settlements record {offset}: expected number {expected}, found "
                    f"{record.number}: records are missing"
                )
            named, applying = named_by(record.items), applicants(record.items)
            spoken = messages_named(record.items)
            if named is not None or applying or spoken:
                if last is not None:  # what it names is looked up in the books
                    await self._book(last, offset, outbox, stop)
                    outbox, items = [], 0
                await self._look_up(named, applying, spoken)
            expected, last = expected + 1, record
            items += len(record.items)
            outbox += await self._apply(
                record, self._position.number + len(outbox), dict.fromkeys(unforeseen)
            )
            if items >= REGISTRY_BATCH_ITEMS_MAX:
                await self._book(record, offset + 1, outbox, stop)
                outbox, items, last = [], 0, None
                await asyncio.sleep(0)
        if last is not None:
            await self._book(last, records[-1][0] + 1, outbox, stop)

    async def _look_up(
        self,
        named: Named | None,
        applying: frozenset[Applicant],
        spoken: frozenset[int],
    ) -> None:
        if named is not None:
            self._registrar.reversals.past = await self._store.past(named)
        if spoken:
            self.holdings.standings.recall(await self._store.recalled(spoken))
        found = {}
        for account, instrument_id in applying:
            instrument = self._instruments.get(instrument_id)
            rule = self._registrar.carry_overs.rule_of(instrument)
            if instrument is not None and rule is not None:
                old = old_instruments(rule, instrument.scheme, self._instruments.values())
                found[account, instrument_id] = await dealings_of(
                    self._database, self._market.partition, account, rule, old
                )
        self._registrar.carry_overs.past = found

    @staticmethod
    def _decode(offset: int, value: bytes) -> SettlementRecord:
        try:
            return _decode(value)
        except msgspec.DecodeError as error:
            raise SequenceBrokenError(f"settlements record {offset}: {error}") from error

    async def _apply(
        self, record: SettlementRecord, number: int, unforeseen: Wanted
    ) -> list[NumberedValue]:
        await self._read_blocks(unforeseen)
        await self._read_blocks(wanted_by(self.holdings, self._instruments, record.items))
        await self._read_blocks(wanted_when_due(self.holdings, self._instruments, record.time_ns))
        said = self._registrar.begin_record(record.number, record.time_ns)
        for item in record.items:  # those before it may have changed what it wants
            await self._read_blocks(wanted_by(self.holdings, self._instruments, (item,)))
            said += self._registrar.apply(item, record.number, record.time_ns)
        self._registrar.holdings.end_record(record.number, record.time_ns)
        runs: list[list[RegistryItem]] = []
        size = REGISTRY_RECORD_BYTES_MAX
        for answer in said:
            self._count(answer, record.time_ns)
            length = len(_encode(answer))
            if size + length > REGISTRY_RECORD_BYTES_MAX:
                runs.append([])
                size = 0
            runs[-1].append(answer)
            size += length
        return [
            (
                number + at,
                _encode(
                    RegistryRecord(
                        RECORD_VERSION, number + at, record.number, record.time_ns, tuple(run)
                    )
                ),
            )
            for at, run in enumerate(runs)
        ]

    async def _read_blocks(self, wanted: Wanted) -> None:
        if wanted:
            await self._store.read_blocks(self.holdings, wanted, self._position)

    async def _book(
        self,
        last: SettlementRecord,
        topic_offset: int,
        outbox: list[NumberedValue],
        stop: asyncio.Event | None,
    ) -> None:
        holdings = self._registrar.holdings
        changes = holdings.take_changes()
        after = RegistryPosition(
            topic_offset,
            last.number + 1,
            self._position.number + len(outbox),
            max(self._position.published, self._topic.published),
            holdings.deposit_ref,
            holdings.block_id,
            holdings.sequence,
            last.time_ns,
            holdings.message_ref,
            self._messages_sent,
        )
        await self._store.write(self._position, after, changes, outbox)
        reached("registry.commit.after")
        self._position = after
        holdings.places.let_go(REGISTRY_BLOCKS_MAX, after.settlement_number)
        metrics.REGISTRY_BLOCKS.labels(self._market.code).set(holdings.blocks)
        if stop is not None:
            self._deposits += changes.deposits.values()
            await self._send_deposits(stop)
            self._messages += changes.messages
            await self._send_messages(stop)
            await self._topic.publish(outbox, stop)

    async def _publish_left_over(self, stop: asyncio.Event) -> None:
        while self._topic.published < self._position.number and not stop.is_set():
            values = await self._store.outbox(self._topic.published, READ_RECORDS_MAX)
            if not values:
                values = [(self._position.number, b"")]  # a gap: publish says which
            try:
                await self._topic.publish(values, stop)
            except OutboxGapError:
                # Records leave the outbox only as the books go on, so this may be another's doing.
                if await self._store.position() != self._position:
                    raise RegistryMovedError("published by another process meanwhile") from None
                raise

    def forget_outbox(self, number: int) -> None:
        """Lets the next booking drop records below `number` (rebuilding: nobody publishes)."""
        self._topic.published = number

    async def _send_deposits(self, stop: asyncio.Event) -> None:
        # One frame at a time, in order: a later `ref` must never arrive before an earlier one.
        while self._deposits and not stop.is_set():
            run = self._deposits[:COUNT_MAX]
            self._batch += 1
            frame = build_commands(
                [_deposit_command(deposit) for deposit in run],
                writer=self._writer,
                batch=self._batch,
                time_ns=self._clock.now_ns(),
            )
            try:
                await self._log.append(topics.orders(self._market.partition), [frame])
                reached("registry.deposits.after")
                self._deposits = self._deposits[len(run) :]
            except (LogUnavailableError, AppendUncertainError) as error:
                self._logger.warning("deposit not acknowledged, sent again", error=str(error))
                await pause(stop)

    async def _send_messages(self, stop: asyncio.Event) -> None:
        # In order and one frame at a time, like deposits, whichever market they go to.
        while self._messages and not stop.is_set():
            target = self._messages[0].target
            run: list[Outgoing] = []
            for message in self._messages[:REGISTRY_MESSAGES_MAX]:
                if message.target != target:
                    break
                run.append(message)
            self._batch += 1
            session = MESSAGE_SESSION + self._market.partition
            frame = build_commands(
                [part for message in run for part in _message_commands(message, session)],
                writer=self._writer,
                batch=self._batch,
                time_ns=self._clock.now_ns(),
            )
            try:
                await self._log.append(topics.orders(target), [frame])
                self._messages = self._messages[len(run) :]
                self._messages_sent = run[-1].ref
            except (LogUnavailableError, AppendUncertainError) as error:
                self._logger.warning("message not acknowledged, sent again", error=str(error))
                await pause(stop)

    async def say_time(self) -> bool:
        """Says CARRY_OUT on `orders` when something is due, so that the log's time comes here.

        At most every CARRY_OUT_EVERY_S; whether it did. Nothing depends on when, or on how often:
        what is done then is a function of the log. An append that fails is made up for later.
        """
        due, now_ns = self.holdings.standings.next_due(), self._clock.now_ns()
        if due is None or now_ns < due.time_ns:
            return False
        since_ns = self._clock.monotonic_ns()
        if since_ns < self._say_again_ns:
            return False
        self._say_again_ns = since_ns + CARRY_OUT_EVERY_S * 1_000_000_000
        self._batch += 1
        account, instrument_id = self.holdings.standings.whose(due)
        frame = build_commands(
            [
                command(
                    Command.INSTRUCTION,
                    order_type=Instruction.CARRY_OUT,
                    account_id=account,
                    instrument_id=instrument_id,
                )
            ],
            writer=self._writer,
            batch=self._batch,
            time_ns=now_ns,
        )
        try:
            await self._log.append(topics.orders(self._market.partition), [frame])
        except (LogUnavailableError, AppendUncertainError) as error:
            self._logger.warning("log unavailable, time not said", error=str(error))
            return False
        return True

    def _count(self, answer: RegistryItem, time_ns: int) -> None:
        match answer:
            case InstructionRefused():
                metrics.REGISTRY_REFUSALS.labels(self._market.code, str(answer.reason)).inc()
            case UnitsSurrendered():
                self._show_offset_use(answer, time_ns)

    def _show_offset_use(self, answer: UnitsSurrendered, time_ns: int) -> None:
        instrument = self._instruments[answer.instrument_id]
        if instrument.kind != "offset":
            return
        account = (answer.account_id, instrument.scheme, answer.year)
        used_bp = self._registrar.offset_use_bp(account, instrument.product, time_ns)
        if used_bp:
            self._offset_use_bp = max(self._offset_use_bp, used_bp)
            use = metrics.REGISTRY_OFFSET_USE.labels(instrument.scheme)
            use.set(self._offset_use_bp / 10_000)

    async def _show_lag(self, last: Record) -> None:
        now = self._clock.now_ns()
        if now - self._lag_read_ns < _LAG_EVERY_NS:
            return
        self._lag_read_ns = now
        settlements = topics.settlements(self._market.partition)
        labels = (settlements.topic, self._market.code, "registry")
        end = await self._log.end(settlements)
        metrics.LOG_LAG_RECORDS.labels(*labels).set(end - last.offset - 1)
        metrics.LOG_LAG_SECONDS.labels(*labels).set(max(0, now - last.append_ns) / 1_000_000_000)


def _deposit_command(deposit: Deposit) -> bytes:
    return command(
        Command.UNITS_DEPOSIT,
        session_id=REGISTRY_SESSION,
        ref=deposit.ref,
        account_id=deposit.account,
        instrument_id=deposit.instrument_id,
        quantity=deposit.quantity,
        order_id=deposit.instruction_id,
    )


def _message_commands(message: Outgoing, session: int) -> list[bytes]:
    return [
        command(
            Command.INSTRUCTION,
            order_type=message.kind,
            session_id=session,
            ref=message.ref,
            account_id=message.account,
            instrument_id=message.instrument_id,
            quantity=message.quantity,
            price=message.argument,
        ),
        *notes(message.notes),
    ]


def _check_products(venue: Venue, market: Market) -> None:
    own = {item.product for item in venue.instruments_of(market.code) if not item.kept_by}
    for item in venue.instrument:
        if item.market != market.code and item.product in own and not item.kept_by:
            raise ValueError(
                f"product {item.product} is in market {market.code} and in {item.market}: the "
                "serial numbers of a programme are given out in one market"
            )
