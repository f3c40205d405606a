"""Keys: what is signed, until when and from where they are used, and that they end in use."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import SCOPES, Key, Venue, check_venue, load_venue
from gateway.access.addresses import Origins, counted
from gateway.access.identity import Identities, Signed, sign, signed_text
from gateway.access.key_watch import KeyWatch
from gateway.access.keyring import KeyRing, load_secret
from gateway.access.roles import allow
from gateway.access.throttle import Throttle
from gateway.client import AuthenticationError, Client, SigningKey, VenueError
from gateway.refusal import Refused
from gateway.websocket.sockets import Connections
from tests.gateway.conftest import ROOT, House, demo_venue
from tests.gateway.websocket.test_gateway_sockets import connected, logon, say

SECOND = 10**9
NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
NOW_NS = int(NOW.timestamp()) * SECOND
# RFC 8032, 7.1, test 1
RFC_PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
SECRET = bytes(range(32))


class Clock:
    def __init__(self, now: int = NOW_NS) -> None:
        self.now = now

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(RFC_PRIVATE)


def public() -> str:
    return base64.b64encode(bytes.fromhex(RFC_PUBLIC)).decode()


def venue_with(*keys: Key) -> Venue:
    return msgspec.structs.replace(load_venue(ROOT / "deploy/venue/demo.toml"), key=keys)


def ed_key(**changes: Any) -> Key:
    return msgspec.structs.replace(Key("ed", 2, "participant", 1_001, public()), **changes)


def hmac_key(folder: Path, secret: bytes = SECRET) -> Key:
    path = folder / "hmac.secret"
    path.write_text(base64.b64encode(secret).decode() + "\n")
    path.chmod(0o600)
    return Key(
        "mac", 2, "participant", 1_002, algorithm="hmac-sha256", secret_file=str(path)
    )  # fmt: skip


def refusal(identities: Identities, signed: Signed, **call: Any) -> int:
    with pytest.raises(Refused) as refused:
        identities.verify(*call.pop("what", ("GET", "/")), signed, b"", **call)
    return refused.value.row.number


# -- signatures -----------------------------------------------------------------------------------


def test_known_answers_of_both_algorithms(tmp_path: Path) -> None:
    assert private().public_key().public_bytes_raw().hex() == RFC_PUBLIC
    signed = sign(private(), "ed", "POST", "/orders?wait_ms=5", b"{}", timestamp_ns=17)
    assert base64.b64decode(signed.signature).hex() == ED_ANSWER
    made = sign(SECRET, "mac", "POST", "/orders?wait_ms=5", b"{}", timestamp_ns=17)
    assert base64.b64decode(made.signature).hex() == HMAC_ANSWER
    text = signed_text("POST", "/orders?wait_ms=5", "mac", 17, 0, b"{}")
    assert hmac.new(SECRET, text, hashlib.sha256).hexdigest() == HMAC_ANSWER
    # RFC 4231, test case 2
    answer = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    said = b"what do ya want for nothing?"
    assert hmac.new(b"Jefe", said, hashlib.sha256).hexdigest() == answer


ED_ANSWER = (
    "643042ed21d151838e94547d89cfb7c25808fc7bacd888811651771a15808d81"
    "7589d52bd204b565b70d0273feecbfb1b50e845085df56d9bae66757d3d4320c"
)
HMAC_ANSWER = "6884288d65488c7a378abc3669feb0a27b572c759871b90430fffe00f779730b"

FIELD, GROUP = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
OF_ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"


@pytest.mark.parametrize(
    "point",
    [(1).to_bytes(32, "little"), (FIELD + 1).to_bytes(32, "little"), bytes(32),
     (FIELD - 1).to_bytes(32, "little"), bytes.fromhex(OF_ORDER_8)],
)  # fmt: skip
def test_a_key_of_small_order_signs_nothing(point: bytes) -> None:
    key = ed_key(public_key=base64.b64encode(point).decode())
    identities = Identities(venue_with(key), Clock())
    for first in (point, (1).to_bytes(32, "little")):
        forged = base64.b64encode(first + bytes(32)).decode()  # holds for one text of eight
        for at in range(32):
            said = refusal(identities, Signed("ed", NOW_NS, 0, forged), what=("GET", f"/?{at}"))
            assert said == EdgeReason.BAD_SIGNATURE


def test_a_signature_has_one_form() -> None:
    identities = Identities(venue_with(ed_key()), Clock())
    signed = sign(private(), "ed", "GET", "/", b"", timestamp_ns=NOW_NS)
    raw = base64.b64decode(signed.signature)
    scalar = int.from_bytes(raw[32:], "little")
    for other in (scalar + GROUP, scalar + 8 * GROUP, scalar | 1 << 255):
        again = raw[:32] + other.to_bytes(32, "little")
        same = signed._replace(signature=base64.b64encode(again).decode())
        assert refusal(identities, same) == EdgeReason.BAD_SIGNATURE
    for length in (0, 32, 63, 65, 96):
        cut = signed._replace(signature=base64.b64encode((raw + raw)[:length]).decode())
        assert refusal(identities, cut) == EdgeReason.BAD_SIGNATURE
    assert identities.verify("GET", "/", signed, b"").id == "ed"


@pytest.mark.parametrize("algorithm", ["ed25519", "hmac-sha256"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_bit_of_what_is_signed_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, algorithm: str, data: Any
) -> None:
    is_mac = algorithm == "hmac-sha256"
    key = hmac_key(tmp_path_factory.getbasetemp()) if is_mac else ed_key()
    clock = Clock()
    identities = Identities(venue_with(key), clock, accept_before_start=True)
    owner: Any = SECRET if is_mac else private()
    parts: list[Any] = ["POST", "/orders?wait_ms=1000", b'{"ref":1}']
    method, target, body = parts
    signed = sign(owner, key.id, method, target, body, timestamp_ns=NOW_NS, window_ms=5_000)
    place = data.draw(st.integers(0, 5), "part")
    if place < 2:
        raw = bytearray(parts[place].encode())
    elif place == 2:
        raw = bytearray(body)
    elif place == 3:
        raw = bytearray(base64.b64decode(signed.signature))
    else:
        raw = bytearray(signed[place - 3].to_bytes(8, "big"))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1), "bit")
    raw[bit // 8] ^= 1 << bit % 8
    if place < 2:
        parts[place] = raw.decode("latin-1")
    elif place == 2:
        parts[2] = bytes(raw)
    elif place == 3:
        signed = signed._replace(signature=base64.b64encode(raw).decode())
    else:
        value = int.from_bytes(raw, "big")
        name = "timestamp_ns" if place == 4 else "window_ms"
        signed = signed._replace(**{name: value})
    with pytest.raises(Refused) as refused:
        identities.verify(parts[0], parts[1], signed, parts[2])
    assert refused.value.row.number in (
        EdgeReason.BAD_SIGNATURE, EdgeReason.TIMESTAMP_OUTSIDE_WINDOW,
    )  # fmt: skip


def test_the_key_and_nobody_else_says_which_algorithm(tmp_path: Path) -> None:
    both = (ed_key(), hmac_key(tmp_path))
    identities = Identities(venue_with(*both), Clock())
    # the public half as an HMAC secret, as if the algorithm were the sender's choice
    forged = sign(bytes.fromhex(RFC_PUBLIC), "ed", "GET", "/", b"", timestamp_ns=NOW_NS)
    assert refusal(identities, forged) == EdgeReason.BAD_SIGNATURE
    other = sign(private(), "mac", "GET", "/", b"", timestamp_ns=NOW_NS)
    assert refusal(identities, other) == EdgeReason.BAD_SIGNATURE
    for empty in ("", base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(64)).decode()):
        for key in ("ed", "mac"):
            bad = refusal(identities, Signed(key, NOW_NS, 0, empty))
            assert bad == EdgeReason.BAD_SIGNATURE
    for key, owner in (("ed", private()), ("mac", SECRET)):
        signed = sign(owner, key, "GET", "/", b"", timestamp_ns=NOW_NS)
        assert identities.verify("GET", "/", signed, b"").id == key
        assert refusal(identities, signed) == EdgeReason.REPLAYED_REQUEST


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_has_its_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"has {length} bytes"):
        KeyRing([ed_key(public_key=base64.b64encode(bytes(length)).decode())])


def test_a_secret_stands_in_a_file_of_its_owner_and_in_no_message(tmp_path: Path) -> None:
    key = hmac_key(tmp_path)
    path = Path(key.secret_file)
    assert load_secret(path) == SECRET
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ValueError, match="chmod 600") as wide:
            KeyRing([key])
        assert base64.b64encode(SECRET).decode() not in str(wide.value)
    for text, fault in (("???", "no base64"), ("AAAA", "32 to 1024 bytes"), ("", "32 to 1024")):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ValueError, match=fault):
            load_secret(path)


@pytest.mark.parametrize(
    ("offset_ms", "window_ms", "reason"),
    [(0, 0, 0), (-4_999, 0, 0), (-5_000, 0, 512), (1_000, 0, 0), (1_001, 0, 512),
     (-59_999, 60_000, 0), (-60_000, 60_000, 512), (0, 60_001, 512), (0, -1, 512)],
)  # fmt: skip
def test_the_window_has_edges(offset_ms: int, window_ms: int, reason: int) -> None:
    identities = Identities(venue_with(ed_key()), Clock(), accept_before_start=True)
    time_ns = NOW_NS + offset_ms * 1_000_000
    signed = sign(private(), "ed", "GET", "/", b"", timestamp_ns=time_ns, window_ms=window_ms)
    if reason:
        assert refusal(identities, signed) == reason
    else:
        assert identities.verify("GET", "/", signed, b"").id == "ed"


# -- use ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_ns", "reason"),
    [(-1, AccessReason.KEY_NOT_YET_VALID), (0, 0), (3_600 * SECOND - 1, 0),
     (3_600 * SECOND, AccessReason.KEY_EXPIRED)],
)  # fmt: skip
def test_a_key_begins_and_ends(ahead_ns: int, reason: int) -> None:
    key = ed_key(not_before=NOW, expires=NOW + dt.timedelta(hours=1))
    identities = Identities(venue_with(key), Clock(NOW_NS + ahead_ns), accept_before_start=True)
    signed = sign(private(), "ed", "GET", "/", b"", timestamp_ns=NOW_NS + ahead_ns)
    if reason:
        assert refusal(identities, signed) == reason
    else:
        assert identities.verify("GET", "/", signed, b"").id == "ed"


@pytest.mark.parametrize(
    ("address", "is_in"),
    [("10.1.2.3", True), ("10.2.0.0", False), ("10.1.255.255", True), ("::ffff:10.1.2.3", True),
     ("2001:db8::1", True), ("2001:db9::1", False), ("", False), ("no address", False)],
)  # fmt: skip
def test_a_key_is_used_from_its_networks_only(address: str, is_in: bool) -> None:
    key = ed_key(addresses=("10.1.0.0/16", "2001:db8::/32"))
    identities = Identities(venue_with(key), Clock())
    signed = sign(private(), "ed", "GET", "/", b"", timestamp_ns=NOW_NS)
    if is_in:
        assert identities.verify("GET", "/", signed, b"", address=address).id == "ed"
    else:
        reason = refusal(identities, signed, address=address)
        assert reason == AccessReason.ADDRESS_NOT_ALLOWED


def test_a_stranger_learns_nothing_of_a_key() -> None:
    key = ed_key(revoked=True, addresses=("10.0.0.0/8",), expires=NOW)
    identities = Identities(venue_with(key), Clock())
    stranger = sign(Ed25519PrivateKey.generate(), "ed", "GET", "/", b"", timestamp_ns=NOW_NS)
    assert refusal(identities, stranger, address="1.1.1.1") == EdgeReason.BAD_SIGNATURE
    owner = sign(private(), "ed", "GET", "/", b"", timestamp_ns=NOW_NS)
    assert refusal(identities, owner) == AccessReason.KEY_REVOKED


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"public_key": ""}, "needs public_key"), ({"secret_file": "x"}, "no secret_file"),
     ({"algorithm": "hmac-sha256"}, "needs secret_file"), ({"addresses": ("10.0.0.1/8",)}, "no ne"),
     ({"addresses": ("10.0.0.0/8",) * 65}, "at most 64"),
     ({"expires": dt.datetime(2026, 1, 1)}, "no offset"),  # noqa: DTZ001 - what is refused
     ({"not_before": NOW, "expires": NOW}, "expires before"), ({"session": 999}, "outside 1000"),
     ({"id": "timetable"}, "give the key another"),
     ({"id": "ops (a)"}, "no bracket"), ({"person": "Li (a)"}, ""),
     ({}, "")],
)  # fmt: skip
def test_an_unsound_key_is_named(changes: dict[str, Any], fault: str) -> None:
    problems = check_venue(venue_with(ed_key(**changes)))
    assert [fault in problem for problem in problems] == ([True] if fault else [])


def test_scopes_narrow_what_the_role_allows() -> None:
    assert ed_key().scopes == SCOPES
    reader = ed_key(scopes=("read",))
    copy = ed_key(scopes=("drop_copy",))
    allow(reader, "GET /positions")
    allow(copy, "GET /executions")
    allow(copy, "LOGON")
    for key, action in (
        (reader, "POST /orders"), (reader, "LOGON"), (reader, "INTAKE"), (copy, "NewOrderSingle"),
        (copy, "GET /positions"), (reader, "TransferUnits"), (reader, "POST /instructions"),
        (ed_key(scopes=()), "GET /limits"), (ed_key(scopes=("trade",)), "GET /orders"),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            allow(key, action)
        assert refused.value.row.number == AccessReason.SCOPE_NOT_ALLOWED, action
    with pytest.raises(Refused) as role:
        allow(ed_key(scopes=("operate",)), "POST /operations/kill")
    assert role.value.row.number == EdgeReason.ROLE_NOT_ALLOWED


# -- where from -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "peer", "told", "address", "is_secure"),
    [("", "10.0.0.1", "1.2.3.4", "10.0.0.1", False),
     ("10.0.0.0/8", "10.0.0.1", "1.2.3.4", "1.2.3.4", True),
     ("10.0.0.0/8", "10.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4", True),
     ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4", True),
     ("10.0.0.0/8", "11.0.0.1", "1.2.3.4", "11.0.0.1", False),
     ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1", True)],
)  # fmt: skip
def test_a_proxy_is_believed_when_it_is_trusted(
    trusted: str, peer: str, told: str, address: str, is_secure: bool
) -> None:
    scope = {"client": (peer, 1), "scheme": "http"}
    headers = {"x-forwarded-for": told, "x-forwarded-proto": "https"}
    assert Origins(trusted).of(scope, headers) == (address, is_secure)
    with pytest.raises(ValueError, match="host bits"):
        Origins("10.0.0.1/8")


def test_an_ipv6_site_counts_as_one() -> None:
    assert counted("2001:db8:1:2:3::4") == counted("2001:db8:1:2::5") == "2001:db8:1:2::/64"
    assert counted("::ffff:1.2.3.4") == counted("1.2.3.4") == "1.2.3.4"
    assert counted("x") == "unknown"


def test_an_address_is_counted_before_it_is_known_and_forgotten_in_time() -> None:
    clock = Clock()
    throttle = Throttle(clock, 10, 3)
    for _ in range(3):
        throttle.check_address("a")
        throttle.take_address("a")
    for name in ("take_address", "check_address"):
        with pytest.raises(Refused) as full:
            getattr(throttle, name)("a")
        assert (full.value.row.number, full.value.retry_after_ms) == (EdgeReason.THROTTLED, 334)
    throttle.take_address("b")
    clock.now += SECOND
    throttle.take_address("a")


# -- while the gateway runs -----------------------------------------------------------------------


async def test_keys_change_without_a_restart(tmp_path: Path) -> None:
    venue, keys = demo_venue()
    house = House(tmp_path, venue, keys)
    path = tmp_path / "venue.toml"
    text = (ROOT / "deploy/venue/demo.toml").read_text("utf-8")
    tables = {
        key.id: f'\n[[key]]\nid = "{key.id}"\nparticipant = {key.participant}\n'
        f'role = "{key.role}"\nsession = {key.session}\npublic_key = "{key.public_key}"\n'
        for key in venue.key
    }
    path.write_text(text + "".join(tables.values()))
    house.settings = msgspec.structs.replace(house.settings, venue=path)
    await house.start()
    await house.endow()
    watch = house.gateway._watch
    try:
        northern, huadong = house.client("northern"), house.client("huadong")
        assert (await northern.new_order("EUA", 101, "BUY", 1, "60.00")).exec_type == "NEW"
        assert (await huadong.new_order("EUA", 102, "BUY", 1, "60.00")).exec_type == "NEW"
        stream = await northern.stream()
        path.write_text("this is no venue file")  # an unsound one changes nothing
        watch.look()
        assert len(await northern.orders()) == 1
        tables["northern"] += "revoked = true\n"
        del tables["deputy"]
        path.write_text(text + "".join(tables.values()))
        watch.look()
        for _ in range(2):
            with pytest.raises(AuthenticationError) as revoked:
                await northern.orders()
            assert revoked.value.reason == AccessReason.KEY_REVOKED
        async with house.client("deputy") as deputy:
            with pytest.raises(VenueError) as unknown:
                await deputy.orders()
        assert unknown.value.reason == EdgeReason.UNKNOWN_KEY
        await cut(house, stream)
        await house.until(lambda: stream.failure is not None)
        for act in (northern.new_order("EUA", 101, "BUY", 1, "60.00"),
                    northern.cancel_order("EUA", 101, 1)):  # fmt: skip
            with pytest.raises(AuthenticationError) as ended:
                await act
            assert ended.value.reason == AccessReason.KEY_REVOKED
        assert len(await huadong.orders()) == 1
        assert (await huadong.new_order("EUA", 102, "BUY", 1, "60.00")).exec_type == "NEW"
        await northern.close()
        await huadong.close()
    finally:
        await house.close()


async def cut(house: House, stream: Any) -> None:
    """Waits until the socket of a key is gone."""
    await house.until(lambda: len(house.gateway._connections.open) == 1)


async def test_an_expired_key_is_cut_while_it_is_connected(tmp_path: Path) -> None:
    connections, clock = Connections(), Clock()
    key = ed_key(expires=NOW + dt.timedelta(seconds=5))
    ring = KeyRing([key])
    said: list[Refused] = []

    class Connected:
        def check(self, now_ns: int) -> None:
            over = ring.standing(key, now_ns)
            if over is not None:
                said.append(over)

    connections.open[Connected()] = None  # type: ignore[index]
    missing = tmp_path / "missing"
    watch = KeyWatch(
        venue_with(key), missing, missing, ring, None, connections, clock
    )  # fmt: skip
    clock.now += 5 * SECOND - 1
    watch.look()
    assert said == []
    clock.now += 1
    stop = asyncio.Event()
    running = asyncio.create_task(watch.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert [refused.row.number for refused in said] == [AccessReason.KEY_EXPIRED]


async def test_a_key_of_hmac_and_a_drop_copy_over_the_wire(tmp_path: Path) -> None:
    venue, keys = demo_venue()
    mac = hmac_key(tmp_path)
    copy = Key("copy", 2, "participant", 1_950, keys["deputy"].public_key, scopes=("drop_copy",))
    others = tuple(key for key in venue.key if key.id != "deputy")
    house = House(tmp_path, msgspec.structs.replace(venue, key=(*others, mac, copy)), keys)
    keys["mac"] = SigningKey("mac", SECRET)
    keys["copy"] = keys["deputy"]._replace(id="copy")
    await house.start()
    await house.endow()
    try:
        async with house.client("mac") as client, house.client("copy") as watcher:
            stream = await watcher.stream()
            assert (await client.new_order("EUA", 101, "BUY", 1, "60.00")).exec_type == "NEW"
            await house.until(lambda: len(stream.reports) == 1)
            with pytest.raises(VenueError) as refused:
                await watcher.new_order("EUA", 101, "BUY", 1, "60.00")
            assert refused.value.reason == AccessReason.SCOPE_NOT_ALLOWED
            assert len((await watcher.executions("EU")).executions) == 1
            transport, wire = await connected(house.socket + "/orders")
            say(transport, logon(house, "copy", cancel_on_disconnect="PARTICIPANT"))
            assert (await wire.next())["reason"] == AccessReason.SCOPE_NOT_ALLOWED
            transport.disconnect()
            await proxied(house, client)
    finally:
        await house.close()


async def proxied(house: House, client: Client) -> None:
    """No header of a stranger changes the address that counts."""
    context = house.gateway.context
    for _ in range(3):
        await client.rest._http.get("/orders", headers={"X-Forwarded-For": "1.2.3.4"})
    assert set(context.throttle._addresses) == {"127.0.0.1"}
