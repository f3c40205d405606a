"""`exchange auctions` and `exchange supply` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.rulebook.auction_data import load_supply_data
from gateway.cli import build
from gateway.cli.auctions import show_calendar, show_next

RUNNER = CliRunner()


def run(*words: str) -> tuple[int, str, str]:
    result = RUNNER.invoke(build(), list(words))
    return result.exit_code, result.stdout, result.stderr


def test_a_published_calendar_adds_up() -> None:
    code, out, err = run("auctions", "calendar", "eu-ets", "2019")
    assert code == 0
    assert "eex-de-20191213\tFri 2019-12-13\t08:00-10:00\t4735000\t\tscheduled\t\n" in out
    assert "44 auctions, 156,028,500 t in all" in out
    assert "series eex-cap: no volume of 2019 is published here" in err


def test_a_calendar_as_json() -> None:
    code, out, _ = run("auctions", "calendar", "eu-ets", "2021", "--series", "eex-de", "--json")
    assert code == 0
    (calendar,) = json.loads(out)
    volumes = [sum(volume for _, volume in item["shares"]) for item in calendar["auctions"]]
    assert (len(volumes), sum(volumes)) == (45, 131_744_000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("calendar", "eu-ets", "2031"), "its days in 2031 are not known"),
        (("calendar", "eu-ets", "2031"), "name such a programme with --programme FILE"),
        (("next", "eu-ets", "--after", "2031-01-01"), "--programme FILE"),
        (
            ("calendar", "no", "2019"),
            "no series of auctions of no is known: eu-ets has eex-cap, eex-de, eex-pl, eex-eaa; "
            "ca-qc has ca-qc; cn-national has cn-once",
        ),
        (("calendar", "eu-ets", "2019", "--series", "no"), "unknown series no; known: eex-cap"),
        (("calendar", "eu-ets", "2019", "--programme", "no.toml"), "no.toml"),
    ],
)
def test_what_is_not_known_is_said(words: tuple[str, ...], said: str) -> None:
    code, out, err = run("auctions", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_the_help_names_every_scheme_with_series() -> None:
    known = dict.fromkeys(series.scheme for series in load_supply_data().series)
    for command in (show_calendar, show_next):
        assert f"Schemes with series of auctions: {', '.join(known)}." in (command.__doc__ or "")
        assert "--programme FILE" in (command.__doc__ or "")


def test_the_next_auction_is_the_one_whose_bidding_has_not_ended() -> None:
    code, out, _ = run("auctions", "next", "eu-ets", "--after", "2021-12-10T09:59:59")
    assert code == 0
    assert out.startswith("eex-de-20211210: Friday 2021-12-10, bids 08:00-10:00 UTC, 3,760,000 t\n")
    _, out, _ = run("auctions", "next", "eu-ets", "--after", "2021-12-10T10:00:00")
    assert out.startswith("eex-de-20211217")
    code, out, _ = run("auctions", "next", "eu-ets", "--after", "2021-12-17T10:00:00")
    assert (code, out) == (0, "no auction of eu-ets is left in 2021\n")
    _, out, _ = run("auctions", "next", "eu-ets", "--after", "2021-12-17", "--json")
    assert [item["id"] for item in json.loads(out)] == ["eex-de-20211217"]


def test_a_programme_of_the_venue(tmp_path: Path) -> None:
    path = tmp_path / "programme.toml"
    path.write_text(
        'series = "eex-pl"\n[year]\nyear = 2026\nfirst = 2026-01-14\nlast = 2026-12-02\n'
        '[[auctioneer]]\nname = "Poland"\nshare_bp = 1000\n',
        "utf-8",
    )
    words = ("auctions", "calendar", "eu-ets", "2026", "--programme", str(path))
    code, out, _ = run(*words)  # of the cap of 2026 as the rulebook derives it
    assert code == 0
    assert "24 auctions, 42,723,986 t in all" in out
    code, out, _ = run(*words, "--gross", "700000000")
    assert code == 0
    assert "24 auctions, 45,281,399 t in all; below a multiple 399 t" in out
    code, _, err = run("auctions", "calendar", "eu-ets", "2025", "--programme", str(path))
    assert (code, "is of 2026, not of 2025" in err) == (2, True)


def test_the_programme_of_the_demonstration() -> None:
    path = str(Path(__file__).parents[3] / "deploy/venue/demo-auctions.toml")
    code, out, _ = run("auctions", "calendar", "eu-ets", "2026", "--programme", path)
    assert code == 0
    assert "47 auctions, 5,250,000 t in all" in out


def test_supply_says_what_the_reserve_takes_and_gives() -> None:
    code, out, _ = run("supply", "eu-ets", "2021", "--series", "eex-cap")
    assert code == 0
    assert "to be auctioned\t547821132\n" in out
    assert "intake 332,519,080 t from 2020-09-01 to 2021-08-31\n" in out
    assert "2021-08-31\t2021-08-31\t1\t2210000\n" in out
    code, out, _ = run("supply", "eu-ets", "2027", "--gross", "600000000", "--tnac", "390000000")
    assert code == 0
    assert "release 100,000,000 t from 2027-09-01 to 2028-08-31\n" in out
    for held, void in (("400000000", "0"), ("400000001", "1")):
        code, out, _ = run("supply", "eu-ets", "2024", "--held", held)
        assert f"void of {int(held):,} t in the reserve on 2024-01-01: {void} t\n" in out
    code, out, _ = run(
        "supply", "eu-ets", "2027", "--gross", "600000000", "--tnac", "2025=833000000",
        "--tnac", "2026=400000000",
    )  # fmt: skip
    assert "to be auctioned\t600000000\n" in out
    code, out, _ = run("supply", "eu-ets", "2026", "--tnac", "2024=9", "--tnac", "2025=9")
    assert "cap by eu-ets-phase-4b; not known: scope_change_t of 2026 and 2027" in out
    assert out.rstrip().endswith("[confidence medium]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("eu-ets", "2031"), "the cap of 2031 is not known"),
        (("eu-ets", "2027", "--gross", "600000000"), "at the end of 2026 are not known"),
        (("eu-ets", "2021", "--series", "ca-qc"), "series ca-qc is of ca-qc, not of eu-ets"),
        (("eu-ets", "2027", "--tnac", "1e9"), "is no whole number"),
        (("no", "2021"), "knows no scheme no"),
        (("eu-ets", "2018", "--held", "1"), "no supply_control in force on 2018-01-01"),
    ],
)
def test_supply_says_what_is_missing(words: tuple[str, ...], said: str) -> None:
    code, out, err = run("supply", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_the_type_of_an_account_says_that_it_may_need_representatives() -> None:
    code, out, _ = run("account", "type", "--help")
    assert code == 0
    assert "TOO_FEW_REPRESENTATIVES" in " ".join(out.split())
