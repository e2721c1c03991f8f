"""Human decisions as input: releases, answers, waivers, locks, and the log they stand in."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import acts, operations, pipeline
from transforms.errors import LockedError, UsageError
from transforms.pipeline import Home
from transforms.reporting import listing
from transforms.warehouse.decisions import DecisionLogError

VITALS = EXTRACTS["vitals.csv"]
BY = {"by": "Dr A. Monitor", "reason": "the site confirmed it by telephone"}


def home(small: SmallStudy) -> Home:
    return Home(small.home, "small")


def listed(small: SmallStudy) -> dict[str, dict[str, object]]:
    where = home(small)
    rows = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    return {str(row["rule"]): row for row in rows}


def days(report: pipeline.Report) -> list[tuple[str, str, str | None]]:
    frame = pq.read_table(report.path / "sdtm" / "vs.parquet").to_pandas()
    chosen = frame[frame["VSTESTCD"] == "SYSBP"]
    return [
        (subject, visit, when if isinstance(when, str) else None)
        for subject, visit, when in zip(chosen["USUBJID"], chosen["VISIT"], chosen["VSDTC"], strict=True)
    ]


@pytest.fixture
def held(small: SmallStudy) -> SmallStudy:
    """Two rows whose date cannot be read."""
    small.drop("vitals.csv", VITALS.replace("2024-02-21", "21st of Feb").replace("2024-03-12", "12 March"))
    return small


def test_a_released_row_is_taken_without_the_value_nobody_can_read(held: SmallStudy) -> None:
    before = held.run()
    assert ("SMALL-01-002", "SCREENING", None) not in days(before)
    finding = listed(held)["unreadable_date"]
    acts.release(home(held), str(finding["finding_id"]), lines=[("vitals.csv", 5)], **BY)
    after = held.run()
    assert after.snapshot_id != before.snapshot_id
    assert ("SMALL-01-002", "SCREENING", None) in days(after)
    assert [one for one in days(after) if one[:2] == ("SMALL-01-002", "DAY 8")] == []
    now = listed(held)
    assert now["unreadable_date"]["n_records"] == 1
    assert now["unreadable_date"]["status"] == "open"
    assert now["released_row"]["severity"] == "information"
    acts.release(home(held), str(finding["finding_id"]), **BY)
    held.run()
    now = listed(held)
    assert now["unreadable_date"]["status"] == "closed"
    assert now["unreadable_date"]["decided_by"] == "Dr A. Monitor"


def test_the_same_decision_gives_the_same_snapshot_in_another_home(held: SmallStudy, tmp_path: Path) -> None:
    other = SmallStudy(held.folder, held.landing, tmp_path / "elsewhere")
    ids = []
    for small in (held, other):
        small.run()
        acts.release(home(small), str(listed(small)["unreadable_date"]["finding_id"]), **BY)
        ids.append(small.run().snapshot_id)
    assert ids[0] == ids[1]


def test_what_cannot_be_taken_cannot_be_released(small: SmallStudy) -> None:
    small.drop("vitals.csv", VITALS.replace("140,150,LB", "140,150,LB,stray"))
    small.run()
    finding = listed(small)["field_count"]
    with pytest.raises(UsageError, match="cannot be released, since nothing could be taken"):
        acts.release(home(small), str(finding["finding_id"]), **BY)
    with pytest.raises(UsageError, match="has no finding 0000"):
        acts.release(home(small), "0000", **BY)


def test_a_release_names_lines_of_its_finding(held: SmallStudy) -> None:
    held.run()
    with pytest.raises(UsageError, match=r"does not hold vitals.csv:3"):
        acts.release(home(held), str(listed(held)["unreadable_date"]["finding_id"]), lines=[("vitals.csv", 3)], **BY)


def test_an_answer_is_seen_at_once_and_holds_until_there_is_more(small: SmallStudy) -> None:
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("COUNTRY\n", "COUNTRY,NEW\n").replace("USA", "USA,x"))
    small.run()
    finding = listed(small)["extra_column"]
    assert finding["status"] == "open"
    acts.answer(home(small), str(finding["finding_id"]), **BY)
    assert listed(small)["extra_column"]["status"] == "answered"
    assert listed(small)["extra_column"]["decision"] == f"answer: {BY['reason']}"
    small.run()
    assert listed(small)["extra_column"]["status"] == "answered"
    small.drop("demog.csv", EXTRACTS["demog.csv"])
    small.run()
    assert listed(small)["extra_column"]["status"] == "closed"


def test_curing_closes_and_breaking_again_reopens_the_same_id(held: SmallStudy) -> None:
    broken = (held.landing / "vitals.csv").read_bytes()
    held.run()
    first = listed(held)["unreadable_date"]
    held.run()
    assert len(home(held).publications.entries()) == 1
    held.drop("vitals.csv", VITALS)
    held.run()
    assert listed(held)["unreadable_date"]["status"] == "closed"
    held.drop("vitals.csv", broken)
    held.run()
    again = listed(held)["unreadable_date"]
    assert (again["finding_id"], again["status"], again["reopened"]) == (first["finding_id"], "open", 1)


def test_a_lock_holds_the_publication_until_it_is_unlocked(small: SmallStudy) -> None:
    first = small.run()
    where = home(small)
    acts.lock(where, first.snapshot_id, **BY)
    assert small.run().snapshot_id == first.snapshot_id
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    with pytest.raises(LockedError, match=f"snapshot {first.snapshot_id} is locked by Dr A. Monitor"):
        small.run()
    assert where.snapshots.current_id() == first.snapshot_id
    with pytest.raises(UsageError, match="is locked already"):
        acts.lock(where, first.snapshot_id, **BY)
    acts.unlock(where, first.snapshot_id, **BY)
    assert small.run().snapshot_id != first.snapshot_id
    with pytest.raises(UsageError, match="is not locked"):
        acts.unlock(where, first.snapshot_id, **BY)


@pytest.mark.parametrize("lost", [{"by": " "}, {"reason": ""}])
def test_a_decision_needs_a_person_and_a_reason(small: SmallStudy, lost: dict[str, str]) -> None:
    small.run()
    with pytest.raises(UsageError, match="needs a person"):
        acts.decide(home(small), "dose group 2", "ESCALATE", **{**BY, **lost})
    assert home(small).decisions.entries() == ()


def test_an_altered_log_is_found(small: SmallStudy) -> None:
    small.run()
    where = home(small)
    acts.decide(where, "dose group 1", "ESCALATE", **BY)
    acts.decide(where, "dose group 2", "HOLD", **BY)
    small.run()
    log = where.decisions.path
    written = log.read_text(encoding="utf-8")
    log.write_text(written.replace("HOLD", "GO"), encoding="utf-8")
    with pytest.raises(DecisionLogError, match="line 2 does not follow"):
        small.run()
    log.write_text(written.split("\n")[0] + "\n", encoding="utf-8")
    with pytest.raises(DecisionLogError, match="its end was cut off"):
        small.run()
    log.write_text(written + '{"number": 2, "act"', encoding="utf-8")
    small.run()
    assert acts.decide(where, "dose group 3", "GO", **BY).number == 2
    assert len(where.decisions.entries()) == 3


def test_lists_hold_no_formula() -> None:
    rows = [
        {"finding_id": "1", "message": "=cmd|'/c calc'!A0", "n_records": 3, "held": True, "status": "open"},
        {"finding_id": "2", "message": "@SUM(1)", "remedy": "-1+2", "places": [{"file": "=x.csv", "lines": [2]}]},
    ]
    read = list(csv.DictReader(io.StringIO(listing.to_csv(rows))))
    assert [row["message"] for row in read] == ["'=cmd|'/c calc'!A0", "'@SUM(1)"]
    assert (read[1]["remedy"], read[1]["places"]) == ("'-1+2", "'=x.csv line 2")
    book = openpyxl.load_workbook(io.BytesIO(listing.to_excel(rows, datetime(2024, 12, 31))))
    cells = [cell for row in book.active.iter_rows(min_row=2) for cell in row]
    assert "f" not in {cell.data_type for cell in cells}
    assert "=cmd|'/c calc'!A0" in [cell.value for cell in cells]


def test_the_ledger_tables_follow_from_the_logs(held: SmallStudy) -> None:
    held.run()
    acts.release(home(held), str(listed(held)["unreadable_date"]["finding_id"]), **BY)
    held.run()
    where = home(held)
    tables = operations.ops_tables(
        "small",
        where.raw.received(),
        where.decisions.entries(),
        where.publications.entries(),
        where.snapshots.summary,
    )
    assert {name: table.num_rows for name, table in tables.items() if name in {"delivery", "decision", "snapshot"}} == {
        "delivery": 3,
        "decision": 1,
        "snapshot": 2,
    }
    assert sorted(tables["quarantine"]["line"].to_pylist()) == [5, 6]
    assert tables["finding_event"]["cut_off"].to_pylist() == ["2024-12-31"] * tables["finding_event"].num_rows
    assert json.loads(tables["decision"]["target"][0].as_py())["rule"] == "unreadable_date"
