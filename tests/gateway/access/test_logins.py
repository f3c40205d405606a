"""Operators log in: password and code, a cookie that is bound and bounded, and a way out."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyotp
import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import load_venue
from exchange.settings import (
    LOGIN_DEVICE_S,
    LOGIN_FAILURES_MAX,
    LOGIN_IDLE_S,
    LOGIN_LOCK_S,
    LOGIN_NAMES_REMEMBERED_MAX,
    LOGIN_S_MAX,
    LOGINS_OF_ONE_MAX,
)
from gateway.access import logins as module
from gateway.access.login_locks import Failures, Locks, is_known, locked, new_device, slowed
from gateway.access.logins import Logins
from gateway.access.operators import FILE, Operator, load_operators, make_operator, save_operators
from gateway.cli import build
from gateway.refusal import Refused
from gateway.routes.logins import COOKIE
from tests.gateway.conftest import ROOT, House, demo_venue

SECOND = 10**9
PASSWORD = "correct horse battery"
START_NS = 1_800_000_000 * SECOND
# RFC 6238, appendix B, SHA-1: the secret of its vectors, six of the eight digits
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {59: "287082", 1_111_111_109: "081804", 1_234_567_890: "005924", 2 * 10**9: "279037"}


class Clock:
    def __init__(self, now: int = START_NS) -> None:
        self.now = now

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def ada() -> Operator:
    """An operator whose hash is quick to check: it names its own cost."""
    made = make_operator("ada", PASSWORD, "operator", 1, ())
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    return msgspec.structs.replace(made, password_hash=quick)


@pytest.fixture(autouse=True)
def nobody_is_quick_too(monkeypatch: pytest.MonkeyPatch, ada: Operator) -> None:
    monkeypatch.setattr(module, "_nobody", lambda: ada.password_hash)


class Door:
    """Logins by hand."""

    def __init__(self, folder: Path, operator: Operator, clock: Clock) -> None:
        self.operator, self.clock = operator, clock
        self.logins = Logins([operator], folder, clock)

    def code(self, ahead: int = 0) -> str:
        return pyotp.TOTP(self.operator.totp_secret).generate_otp(
            self.clock.now // SECOND // 30 + ahead
        )

    async def log_in(self, ahead: int = 0, **changes: str) -> module.Login:
        said = {"name": "ada", "password": PASSWORD, "code": self.code(ahead), "address": "::1"}
        return await self.logins.log_in(**(said | changes))

    async def refused(self, ahead: int = 0, **changes: str) -> int:
        with pytest.raises(Refused) as refused:
            await self.log_in(ahead, **changes)
        return refused.value.row.number

    def find(self, login: module.Login, address: str = "::1", csrf: str | None = None) -> int:
        try:
            assert self.logins.find(login.token, address, csrf).id == "ada"
        except Refused as refused:
            return refused.row.number
        return 0


@pytest.fixture
def door(tmp_path: Path, ada: Operator) -> Door:
    return Door(tmp_path, ada, Clock())


@pytest.mark.parametrize("second", RFC_CODES)
async def test_codes_are_those_of_the_standard(tmp_path: Path, ada: Operator, second: int) -> None:
    known = msgspec.structs.replace(ada, totp_secret=RFC_SECRET)
    door = Door(tmp_path, known, Clock(second * SECOND))
    assert (await door.log_in(code=RFC_CODES[second])).key.id == "ada"


async def test_name_password_and_code_have_to_fit_and_none_is_told(door: Door) -> None:
    for changes in (
        {"name": "bob"}, {"password": PASSWORD + " "}, {"code": "12345"}, {"code": ""},
        {"password": "x" * 257},
    ):  # fmt: skip
        door.logins._locks = Locks()
        with pytest.raises(Refused) as refused:
            await door.log_in(**changes)
        assert (refused.value.row.number, refused.value.detail) == (AccessReason.LOGIN_FAILED, "")


async def test_a_code_is_taken_once_even_after_a_restart(door: Door, tmp_path: Path) -> None:
    await door.log_in(-1)
    await door.log_in()
    assert await door.refused() == AccessReason.LOGIN_FAILED
    assert await door.refused(-1) == AccessReason.LOGIN_FAILED  # an older one neither
    used = tmp_path / module.USED_FILE
    assert stat.S_IMODE(used.stat().st_mode) == 0o600
    again = Door(tmp_path, door.operator, door.clock)
    assert await again.refused() == AccessReason.LOGIN_FAILED
    for ahead in (-2, 2):
        assert await again.refused(ahead) == AccessReason.LOGIN_FAILED
    assert (await again.log_in(1)).key.session == door.operator.session


async def test_failures_lock_an_address_for_a_time_and_slow_a_name_down(door: Door) -> None:
    there, beside, elsewhere = "2001:db8:0:2::2", "2001:db8:0:2::9", "2001:db8:0:3::2"
    for _ in range(LOGIN_FAILURES_MAX):
        assert await door.refused(password="wrong", address=there) == AccessReason.LOGIN_FAILED
    # another name from there: a /64 of IPv6 is one address
    for changes in ({"name": "bob", "address": there}, {"name": "bob", "address": beside}):
        assert await door.refused(**changes) == AccessReason.LOGIN_LOCKED
    assert await door.refused(name="bob", address=elsewhere) == AccessReason.LOGIN_FAILED
    # the name from anywhere, for a second
    door.clock.now += SECOND - 1
    assert await door.refused() == AccessReason.LOGIN_LOCKED
    door.clock.now += 1
    assert (await door.log_in()).key.id == "ada"
    assert await door.refused(name="bob", address=there) == AccessReason.LOGIN_LOCKED
    door.clock.now += LOGIN_LOCK_S * SECOND
    assert await door.refused(name="bob", address=there) == AccessReason.LOGIN_FAILED


async def test_who_guesses_from_many_addresses_is_slowed_and_the_known_device_is_not(
    door: Door,
) -> None:
    """An outsider who knows a name cannot keep its owner out; and guesses ever more slowly."""
    known = (await door.log_in(-1)).device
    guesses, begin = 0, door.clock.now
    while door.clock.now < begin + 86_400 * SECOND:
        with pytest.raises(Refused) as refused:
            await door.log_in(password="wrong", address=f"2001:db8:{guesses:x}::1")
        door.clock.now += refused.value.retry_after_ms * 1_000_000
        guesses += refused.value.row.number == AccessReason.LOGIN_FAILED
    assert guesses < 120
    assert await door.refused(password="wrong", address="::9") == AccessReason.LOGIN_FAILED
    assert await door.refused() == AccessReason.LOGIN_LOCKED  # nobody knows it there
    assert (await door.log_in(device=known)).key.id == "ada"
    assert await door.refused(1) == AccessReason.LOGIN_LOCKED  # who guesses goes on waiting


async def test_a_known_device_has_a_lock_of_its_own(door: Door) -> None:
    device = (await door.log_in(-1)).device
    for _ in range(LOGIN_FAILURES_MAX):
        told = await door.refused(password="wrong", device=device)
        assert told == AccessReason.LOGIN_FAILED
    assert await door.refused(device=device) == AccessReason.LOGIN_LOCKED
    assert (await door.log_in()).key.id == "ada"  # where it is not shown, as from anywhere


async def test_attempts_from_outside_an_operators_networks_do_not_count_for_it(
    tmp_path: Path, ada: Operator
) -> None:
    door = Door(tmp_path, msgspec.structs.replace(ada, addresses=("10.0.0.0/8",)), Clock())
    for number in range(4 * LOGIN_FAILURES_MAX):
        told = await door.refused(password="wrong", address=f"11.0.0.{number}")
        assert told == AccessReason.LOGIN_FAILED
    assert (await door.log_in(address="10.0.0.1")).key.id == "ada"


def test_a_device_is_known_to_its_operator_until_its_secrets_change(ada: Operator) -> None:
    device = new_device(ada, START_NS)
    text, _, seal = device.rpartition(".")
    later = f"9{text[1:]}.{seal}"
    assert is_known(ada, device, START_NS + LOGIN_DEVICE_S * SECOND - 1)
    assert not is_known(ada, device, START_NS + LOGIN_DEVICE_S * SECOND)
    for other in (later, text, seal, "", "." * 400, f"{text}.{seal[:-1]}é"):
        assert not is_known(ada, other, START_NS)
    for changes in ({"name": "bob"}, {"totp_secret": RFC_SECRET}, {"password_hash": "other"}):
        assert not is_known(msgspec.structs.replace(ada, **changes), device, START_NS)


async def test_attempts_at_once_are_no_more_than_those_in_a_row(door: Door) -> None:
    """The password takes a while to check: whoever asks meanwhile is counted as well."""
    many = (door.refused(password="wrong", address=f"::{n}") for n in range(2, 22))
    told = await asyncio.gather(*many)
    assert told.count(AccessReason.LOGIN_FAILED) == LOGIN_FAILURES_MAX
    assert told.count(AccessReason.LOGIN_LOCKED) == 20 - LOGIN_FAILURES_MAX


async def test_who_could_not_be_heard_has_not_failed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 0)
    for _ in range(LOGIN_FAILURES_MAX):
        assert await door.refused() == EdgeReason.VENUE_BUSY
    monkeypatch.undo()
    assert (await door.log_in()).key.id == "ada"


def test_failures_are_bounded_and_in_a_row() -> None:
    failures = Failures(locked, LOGIN_LOCK_S)
    for number in range(LOGIN_NAMES_REMEMBERED_MAX + 1):
        failures.add(f"name {number}", 0)
    assert len(failures._counts) == LOGIN_NAMES_REMEMBERED_MAX
    for _ in range(LOGIN_FAILURES_MAX - 1):
        failures.add("ada", 0)
    failures.check("ada", 0)
    failures.forget("ada")
    failures.add("ada", 0)
    failures.check("ada", 0)


def test_a_name_waits_twice_as_long_each_time_and_never_longer_than_a_lock() -> None:
    waits = [slowed(failures) for failures in range(2, 20)]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[LOGIN_LOCK_S] * 5]
    assert slowed(10**9) == LOGIN_LOCK_S


async def test_a_login_is_idle_ends_and_is_bound(door: Door) -> None:
    login = await door.log_in(-1)
    door.clock.now += LOGIN_IDLE_S * SECOND - 1
    assert door.find(login) == 0
    door.clock.now += LOGIN_IDLE_S * SECOND
    assert door.find(login) == AccessReason.NOT_LOGGED_IN
    login = await door.log_in()
    while door.clock.now + 600 * SECOND < login.ends_ns:
        door.clock.now += 600 * SECOND
        assert door.find(login) == 0
    assert login.ends_ns - door.clock.now <= LOGIN_S_MAX * SECOND
    door.clock.now = login.ends_ns
    assert door.find(login) == AccessReason.NOT_LOGGED_IN
    login = await door.log_in()
    assert door.find(login, csrf="") == AccessReason.CSRF_TOKEN_MISSING
    assert door.find(login, csrf=login.token) == AccessReason.CSRF_TOKEN_MISSING
    assert door.find(login, csrf=login.csrf_token) == 0
    assert door.find(login, address="::2") == AccessReason.NOT_LOGGED_IN  # and it is over
    assert door.find(login) == AccessReason.NOT_LOGGED_IN


async def test_logins_are_bounded_and_end_with_their_operator(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for _ in range(LOGINS_OF_ONE_MAX + 1):
        door.clock.now += 30 * SECOND
        made.append(await door.log_in())
    assert door.find(made[0]) == AccessReason.NOT_LOGGED_IN
    assert door.find(made[1]) == 0
    monkeypatch.setattr(module, "LOGINS_MAX", LOGINS_OF_ONE_MAX - 1)
    door.clock.now += 30 * SECOND
    assert await door.refused() == AccessReason.LOGINS_FULL
    door.logins.log_out(made[-1].token)
    assert door.find(made[-1]) == AccessReason.NOT_LOGGED_IN
    door.logins.replace([msgspec.structs.replace(door.operator, role="authority")])
    assert door.find(made[-2]) == AccessReason.NOT_LOGGED_IN


async def test_an_operator_comes_from_its_networks(tmp_path: Path, ada: Operator) -> None:
    door = Door(tmp_path, msgspec.structs.replace(ada, addresses=("10.0.0.0/8",)), Clock())
    assert await door.refused(address="11.0.0.1") == AccessReason.ADDRESS_NOT_ALLOWED
    assert (await door.log_in(address="10.0.0.1")).key.id == "ada"


# -- the file -------------------------------------------------------------------------------------


def test_the_command_makes_an_operator_and_shows_the_secret_once(tmp_path: Path) -> None:
    venue = ROOT / "deploy/venue/demo.toml"
    word = tmp_path / "word"
    word.write_text(PASSWORD + "\n")
    run = CliRunner()
    common = ["--data", str(tmp_path), "--venue", str(venue)]

    def operator(*arguments: str) -> Any:
        return run.invoke(build("operator"), ["operator", *arguments, *common])

    made = operator("add", "ada", "--password-file", str(word))
    assert made.exit_code == 0, made.output
    path = tmp_path / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (ada,) = load_operators(path, load_venue(venue))
    assert ada.totp_secret in made.output
    assert f"otpauth://totp/carbon-exchange:ada?secret={ada.totp_secret}" in made.output
    assert PASSWORD not in made.output + path.read_text()
    assert ada.password_hash.startswith("$argon2id$")
    listed = operator("list")
    assert "ada" in listed.output
    assert ada.totp_secret not in listed.output
    again = operator("add", "ada", "--password-file", str(word))
    assert (again.exit_code, "there already" in again.output) == (2, True)
    asked = operator("add", "eve")  # no terminal, no file
    assert (asked.exit_code, "never as an argument" in asked.output) == (2, True)
    two = operator("add", "bob", "--password-file", str(word), "--person", "Bob B.")
    assert two.exit_code == 0, two.output
    found = {item.name: item.key for item in load_operators(path, load_venue(venue))}
    assert {name: key.who for name, key in found.items()} == {"ada": "ada", "bob": "Bob B."}
    assert found["bob"].signer == "bob (Bob B.)"
    assert "Bob B." in operator("list", "--json").output
    assert operator("remove", "bob").exit_code == 0
    word.write_text("short")
    short = operator("add", "eve", "--password-file", str(word))
    assert (short.exit_code, "12 to 256" in short.output) == (2, True)
    assert operator("remove", "ada").exit_code == 0
    assert operator("remove", "ada").exit_code == 2
    assert load_operators(path, load_venue(venue)) == ()


def test_an_unsound_file_of_operators_is_refused(tmp_path: Path, ada: Operator) -> None:
    venue, _ = demo_venue()
    path = tmp_path / FILE
    for operators in (
        (ada, ada), (msgspec.structs.replace(ada, name="operator"),),
        (msgspec.structs.replace(ada, session=venue.key[0].session),),
    ):  # fmt: skip
        save_operators(path, operators)
        with pytest.raises(ValueError, match="stands twice"):
            load_operators(path, venue)
    save_operators(path, (ada,))
    assert load_operators(path, venue) == (ada,)
    path.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        load_operators(path, venue)
    path.write_text("[[operator]]\nname = 7\n")
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"operators\.toml"):
        load_operators(path, venue)


# -- over the wire --------------------------------------------------------------------------------


@pytest.fixture
async def desk(tmp_path: Path, ada: Operator) -> AsyncIterator[House]:
    save_operators(tmp_path / FILE, (ada,))
    venue, keys = demo_venue()
    house = House(tmp_path, venue, keys)
    await house.start()
    await house.endow()
    try:
        yield house
    finally:
        await house.close()


async def test_a_browser_logs_in_acts_and_logs_out(desk: House, ada: Operator) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False) as browser:
        code = pyotp.TOTP(ada.totp_secret).at(desk.clock.now_ns() // SECOND)
        body = {"name": "ada", "password": PASSWORD, "code": code}
        denied = await browser.post("/login", json=body | {"password": "wrong password"})
        assert (denied.status_code, denied.json()["reason"]) == (401, AccessReason.LOGIN_FAILED)
        answer = await browser.post("/login", json=body)
        assert answer.status_code == 200, answer.text
        cookie, device = answer.headers.get_list("set-cookie")
        for flag in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LOGIN_S_MAX}"):
            assert flag in cookie
        for flag in ("HttpOnly", "SameSite=Strict", "Path=/login", f"Max-Age={LOGIN_DEVICE_S}"):
            assert flag in device
        assert is_known(ada, browser.cookies["exchange_device"], desk.clock.now_ns())
        assert "Secure" not in cookie + device  # no TLS here
        csrf = {"X-Exchange-CSRF": answer.json()["csrf_token"]}
        who = (await browser.get("/session")).json()
        assert (who["key"], who["session"]) == ("ada", ada.session)
        halt = {"type": "Halt", "ref": 1, "market": "EU", "reason": "from the page"}
        without = await browser.post("/operations/halt", json=halt)
        assert without.json()["reason"] == AccessReason.CSRF_TOKEN_MISSING
        done = await browser.post("/operations/halt", json=halt, headers=csrf)
        assert (done.status_code, done.json()["status"]) == (200, "DONE")
        order = {"type": "NewOrderSingle", "ref": 2, "symbol": "EUA", "account": 101,
                 "side": "BUY", "quantity": 1, "price": "60.00"}  # fmt: skip
        trade = await browser.post("/orders", json=order, headers=csrf)
        assert (trade.status_code, trade.json()["reason"]) == (403, EdgeReason.ROLE_NOT_ALLOWED)
        assert (await browser.post("/logout", headers=csrf)).status_code == 200
        assert COOKIE not in browser.cookies
        over = await browser.get("/session", headers={"Cookie": cookie.split(";")[0]})
        assert over.json()["reason"] == AccessReason.NOT_LOGGED_IN
