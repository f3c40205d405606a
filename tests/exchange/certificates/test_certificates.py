"""What a certificate says is what the books hold, and only of what was given up for good."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pypdfium2
import pytest
from typer.testing import CliRunner

from exchange.certificates import CertificateRefusedError, certificate_of, write_certificate
from exchange.end_of_day import DayRefusedError
from exchange.end_of_day.names import Names
from exchange.messages.frames import Instruction, notes
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import ProjectDetails, UnitsCancelled, UnitsSurrendered
from gateway.cli import build
from tests.books_desk import CN, Desk, owed
from tests.books_venue import CCER, CEA_2024, MARKET, VENUE, YANGTZE, YEAR, instruction, issue
from tests.exchange.registry.test_projects import WIND, register, surrender
from tests.exchange.registry.test_projects import issue as issue_of_project

NAMES = Names(VENUE, MARKET)
FOREST = ProjectDetails(name="大兴安岭 forest", project_type="forestry", methodology="CCER-14-001")


def words(path: Path) -> str:
    document = pypdfium2.PdfDocument(path)
    text = "\n".join(page.get_textpage().get_text_range() for page in document)
    return " ".join(text.split())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def cancel(desk: Desk, instrument: int, quantity: int) -> UnitsCancelled:
    fields = {"account_id": YANGTZE, "instrument_id": instrument, "quantity": quantity}
    said = await desk.act(
        instruction(Instruction.CANCEL, **fields), *notes("Łódź Marathon\nits flights, 航班")
    )
    assert isinstance(said[0], UnitsCancelled)
    return said[0]


async def test_a_cancellation_names_whom_it_is_for_and_every_tonne(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.act(*register(3, FOREST))
    await desk.act(*issue_of_project(70, 3, "2025-01-01", "2025-06-30"))
    await desk.act(*issue_of_project(30, 3, "2025-01-01", "2025-06-30"))
    await desk.act(issue(YANGTZE, CCER, 50))
    done = await cancel(desk, CCER, 120)
    told = await certificate_of(desk.books, CN, done.instruction_id)
    # two issuances of one project are one run; what names no project is another
    assert [(item.first, item.last, item.project) for item in told.units] == [
        (1, 100, 3),
        (101, 120, 0),
    ]
    files = write_certificate(told, NAMES, tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        file.name for file in files
    )
    for file in files:
        data = (tmp_path / "made" / file.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    first, second = rows(tmp_path / "made" / files[0].name)
    assert (first["kind"], first["tonnes"], second["tonnes"]) == ("CANCELLATION", "100", "20")
    assert (first["beneficiary"], first["reason"]) == ("Łódź Marathon", "its flights, 航班")
    assert (first["project_name"], first["methodology"]) == (FOREST.name, FOREST.methodology)
    assert (first["period_from"], first["period_to"]) == ("2025-01-01", "2025-06-30")
    assert (second["project"], second["period_from"]) == ("", "")
    shown = words(tmp_path / "made" / files[1].name)
    for text in (
        "Certificate of cancellation", "120 tonnes", "Łódź Marathon", "航班", "大兴安岭",
        "CCER-000000000001..000000000100", files[0].sha256[:40], f"CN-{done.instruction_id}",
    ):  # fmt: skip
        assert text in shown
    again = write_certificate(told, NAMES, tmp_path / "again")
    assert again == files
    with pytest.raises(DayRefusedError, match="DIRECTORY_NOT_EMPTY"):
        write_certificate(told, NAMES, tmp_path / "made")


async def test_a_surrender_names_year_and_rule_and_none_is_made_once_undone(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.act(*register(7, WIND))
    await desk.act(*issue_of_project(60, 7, "2025-01-01", "2025-12-31"))
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    done = (await desk.act(*surrender(50)))[0]
    assert isinstance(done, UnitsSurrendered)
    told = await certificate_of(desk.books, CN, done.instruction_id)
    files = write_certificate(told, NAMES, tmp_path / "made")
    shown = words(tmp_path / "made" / files[1].name)
    for text in ("Certificate of surrender", "emission year 2025", "cn-2025-2026-ccer", "7 Helan"):
        assert text in shown
    (row,) = rows(tmp_path / "made" / files[0].name)
    assert (row["scheme"], row["year"], row["tonnes"]) == ("cn-national", "2025", "50")
    whose = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": 50}
    proposal = await desk.act(
        instruction(Instruction.PROPOSE_REVERSAL, price=done.instruction_id, **whose),
        *notes("first\nwrong year"),
    )
    # a proposal undoes nothing yet
    assert (await certificate_of(desk.books, CN, done.instruction_id)).quantity == 50
    await desk.act(
        instruction(
            Instruction.APPROVE_REVERSAL,
            price=proposal[0].instruction_id,  # type: ignore[union-attr]
            **whose,
        ),
        *notes("second\n"),
    )
    with pytest.raises(CertificateRefusedError, match="was undone by instruction") as caught:
        await certificate_of(desk.books, CN, done.instruction_id)
    assert caught.value.reason == RegistryReason.RETIREMENT_UNDONE
    for other in (proposal[0].instruction_id, 1):  # type: ignore[union-attr]
        with pytest.raises(CertificateRefusedError, match="retired nothing") as caught:
            await certificate_of(desk.books, CN, other)
        assert caught.value.reason == RegistryReason.NOT_RETIRED


async def test_paper_leaves_many_runs_to_the_table(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.certificates.paper.STATEMENT_LINES_MAX", 2)
    for _ in range(3):  # another's units lie between them
        await desk.act(issue(YANGTZE, CEA_2024, 10), issue(202, CEA_2024, 10))
    done = await cancel(desk, CEA_2024, 30)
    told = await certificate_of(desk.books, CN, done.instruction_id)
    files = write_certificate(told, NAMES, tmp_path / "made")
    assert len(rows(tmp_path / "made" / files[0].name)) == 3
    assert f"1 more runs of serial numbers are in {files[0].name}" in words(
        tmp_path / "made" / files[1].name
    )


def test_the_command_line_says_what_it_cannot_certify(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(build(), ["certificate", *arguments, "--data", str(tmp_path)])
        assert done.exit_code == 2, done.output
        return done.output

    assert "701 UNKNOWN_MARKET" in run("5", "--market", "XX")
    assert "no exchange.sqlite" in run("5", "--market", "CN")
    (tmp_path / "exchange.sqlite").touch()
    assert "684 NOT_RETIRED" in run("5", "--market", "CN")
