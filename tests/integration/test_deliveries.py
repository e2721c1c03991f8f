"""Deliveries over time: what a drop changes, what it may not change, and what is said of it.

Expected values are written down from the rows that each test drops, not from what the engine gave.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.integration.test_extracts import accounts_close, contents, dataset, findings
from tests.small_study import EXTRACTS, SmallStudy
from transforms import deliveries, pipeline
from transforms.errors import ConfigurationError
from transforms.pipeline import Home, difference
from transforms.study import Study

VITALS = EXTRACTS["vitals.csv"]
DOSING = EXTRACTS["dosing.csv"]


def manifest(small: SmallStudy, name: str, extracted_at: str, *files: str) -> None:
    """A manifest over files that lie in landing."""
    import hashlib

    named = [{"name": one, "sha256": hashlib.sha256((small.landing / one).read_bytes()).hexdigest()} for one in files]
    small.drop(f"{name}.manifest.json", json.dumps({"extracted_at": extracted_at, "files": named}))


def page(report: object) -> str:
    path = report.page  # type: ignore[attr-defined]
    assert path is not None
    return str(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["demog.csv", "demog_again.csv"])
def test_the_same_bytes_again_change_nothing(small: SmallStudy, name: str) -> None:
    before = small.run()
    small.drop(name, EXTRACTS["demog.csv"])
    small.drop(f"dosing{name}", DOSING)
    after = small.run()
    assert (after.snapshot_id, after.published) == (before.snapshot_id, False)
    assert len(Home(small.home, "small").publications.entries()) == 1
    assert not after.accepted


def test_an_incremental_drop_leaves_untouched_subjects_as_they_were(small: SmallStudy) -> None:
    before = small.run()
    small.drop("dosing_2.csv", "ROW,SUBJ,DRUG,DOSE,START\n9,002,Aspirin,1,01-Mar-2024 08:00\n")
    after = small.run()
    for name in ("dm", "ex", "vs"):
        old, new = (one[one["USUBJID"] != "SMALL-01-002"] for one in (dataset(before, name), dataset(after, name)))
        pd.testing.assert_frame_equal(old.reset_index(drop=True), new.reset_index(drop=True))
    touched = dataset(after, "ex").query("USUBJID == 'SMALL-01-002'")
    assert list(zip(touched["EXTRT"], touched["EXSEQ"], strict=True)) == [("ASPIRIN", 1), ("TESTOL", 2)]
    accounts_close(after, small)


def test_a_revision_of_an_incremental_source_shows_its_rows(small: SmallStudy) -> None:
    small.run()
    small.drop(
        "dosing_2.csv",
        "ROW,SUBJ,DRUG,DOSE,START\n4,003,Testol,12,06-Mar-2024 08:00\n5,003,Testol,10,13-Mar-2024 08:00\n",
    )
    after = small.run()
    told = difference(Home(small.home, "small"), "previous", "current")
    assert told.sources == ["dosing"]
    text = page(after)
    assert "What the new files changed" in text
    from transforms.differences import source_comparison, source_rows

    compared = source_comparison(told.before, told.after, "dosing")
    assert {name: compared.summary()[name] for name in ("before", "added", "removed", "after", "changed")} == {
        "before": 4,
        "added": 1,
        "removed": 0,
        "after": 5,
        "changed": 1,
    }
    rows = {
        (row["change"], row["key"]["ROW"], row["variable"]): row
        for row in source_rows(told.before, told.after, compared)
    }
    assert set(rows) == {("added", "5", None), ("changed", "4", "DOSE")}
    changed = rows["changed", "4", "DOSE"]
    assert [changed[one] for one in ("before", "after", "file_before", "line_before", "file_after", "line_after")] == [
        *("10", "12", "dosing.csv", 5, "dosing_2.csv", 2)
    ]


def test_a_record_absent_from_a_full_delivery_is_a_deletion(small: SmallStudy) -> None:
    small.run()
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("003,11,55,FEMALE,USA\n", ""))
    small.run()
    from transforms.differences import source_comparison, source_rows

    told = difference(Home(small.home, "small"), "previous", "current")
    rows = list(source_rows(told.before, told.after, source_comparison(told.before, told.after, "demog")))
    assert [(row["change"], row["key"], row["file_before"], row["line_before"]) for row in rows] == [
        ("deleted", {"SUBJ": "003"}, "demog.csv", 4)
    ]


def test_a_delete_marker_of_an_incremental_source_removes_the_record(small: SmallStudy) -> None:
    contract = "columns:\n  ROW: {}\n"
    small.change("sources/dosing.yml", contract, "deleted: {column: GONE, value: Y}\n" + contract + "  GONE: {}\n")
    rows = DOSING.splitlines()
    small.drop("dosing.csv", "\n".join([rows[0] + ",GONE", *(row + ",N" for row in rows[1:])]) + "\n")
    before = small.run()
    assert len(dataset(before, "ex")) == 4
    small.drop("dosing_2.csv", "ROW,SUBJ,DRUG,DOSE,START,GONE\n2,001,Testol,5,10-Mar-2024 09:00,Y\n")
    after = small.run()
    assert list(dataset(after, "ex")["EXSTDTC"]) == ["2024-03-03T09:30", "2024-03-05T08:00", "2024-03-06T08:00"]
    account = (
        pq.read_table(after.path / "accounts.parquet").to_pandas().query("source == 'dosing' and stage == 'staging'")
    )
    outcomes = {(one.file, one.outcome, one.rule): one.rows for one in account.itertuples()}
    assert outcomes[("dosing_2.csv", "excluded", "deleted_in_source")] == 1
    assert outcomes[("dosing.csv", "superseded", "later_file")] == 1
    accounts_close(after, small)
    small.drop("dosing_3.csv", "ROW,SUBJ,DRUG,DOSE,START,GONE\n2,001,Testol,6,10-Mar-2024 09:00,N\n")
    assert list(dataset(small.run(), "ex")["EXDOSE"]) == [5.0, 6.0, 10.0, 10.0]


def test_a_time_of_another_zone_than_its_column_is_said(small: SmallStudy) -> None:
    small.change("sources/dosing.yml", '"DD-Mon-YYYY hh:mm"', "YYYYMMDDhhmm+hhmm")
    header, *rows = DOSING.splitlines()
    starts = ("202403030930+0800", "202403100900+0800", "202403050800+0000", "202403060800+08:00")
    moved = [",".join([*row.split(",")[:-1], start]) for row, start in zip(rows, starts, strict=True)]
    small.drop("dosing.csv", "\n".join([header, *moved]) + "\n")
    report = small.run()
    assert "2024-03-05T08:00" in set(dataset(report, "ex")["EXSTDTC"])
    told = pq.read_table(report.path / "findings.parquet").to_pandas().query("rule == 'utc_offset_differs'")
    (place,) = told["places"].iloc[0]
    assert list(told["severity"]) == ["critical"] and list(place["lines"]) == [4]


def test_an_unknown_delete_marker_keeps_the_record_and_asks(small: SmallStudy) -> None:
    contract = "columns:\n  ROW: {}\n"
    small.change(
        "sources/dosing.yml", contract, "deleted: {column: GONE, value: Y, otherwise: N}\n" + contract + "  GONE: {}\n"
    )
    header, *rows = DOSING.splitlines()
    marked = [f"{row},{marker}" for row, marker in zip(rows, ("y", "N", "N", ""), strict=True)]
    small.drop("dosing.csv", "\n".join([header + ",GONE", *marked]) + "\n")
    report = small.run()
    assert len(dataset(report, "ex")) == 4
    told = pq.read_table(report.path / "findings.parquet").to_pandas().query("rule == 'unknown_delete_marker'")
    (place,) = told["places"].iloc[0]
    assert list(told["severity"]) == ["critical"] and (place["file"], list(place["lines"])) == ("dosing.csv", [2])


def test_a_delete_marker_needs_a_column_and_a_record_id(small: SmallStudy) -> None:
    small.change("sources/dosing.yml", "record_id: [ROW]\n", "deleted: {column: GONE, value: Y}\n")
    with pytest.raises(ConfigurationError) as caught:
        small.load()
    said = str(caught.value)
    assert "names no column: 'GONE'" in said
    assert "without record_id cannot say which record was deleted" in said


def test_a_late_file_does_not_stand_and_is_said(small: SmallStudy) -> None:
    small.drop("demog_new.csv", EXTRACTS["demog.csv"])
    (small.landing / "demog.csv").unlink()
    manifest(small, "a", "2024-06-30T06:00", "demog_new.csv")
    before = small.run()
    small.drop("demog_old.csv", EXTRACTS["demog.csv"].replace("70,female", "69,female"))
    manifest(small, "b", "2024-05-31T06:00", "demog_old.csv")
    after = small.run()
    pd.testing.assert_frame_equal(dataset(before, "dm"), dataset(after, "dm"))
    found = findings(after)
    assert found.loc["late_file", "severity"] == "information"
    assert "demog_old.csv came after demog_new.csv" in found.loc["late_file", "message"]
    assert "late_file" not in findings(before).index
    accounts_close(after, small)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2024-06-02T01:00+08:00", "2024-06-01T20:00Z"),  # 17:00 and 20:00 in Greenwich, both on 1 June
        ("2024-06-02T01:00+08:00", "2024-06-02T02:00"),  # a time without an offset is of the clock of the others
        ("2024-06-01T23:30", "2024-06-02T01:00+08:00"),
        ("2024-06-01T23:30:00-05:00", "2024-06-02T04:31+00:00"),
    ],
)
def test_which_of_two_extracts_is_the_later_goes_by_the_instant(small: SmallStudy, earlier: str, later: str) -> None:
    for order in ((earlier, later), (later, earlier)):
        one = SmallStudy.write(small.folder.parent / f"order_{order[0] == earlier}")
        (one.landing / "demog.csv").unlink()
        for number, at in enumerate(order):
            age = "69" if at == later else "68"
            one.drop(f"demog_{number}.csv", EXTRACTS["demog.csv"].replace("70,female", f"{age},female"))
            manifest(one, str(number), at, f"demog_{number}.csv")
            report = one.run()
        assert dataset(report, "dm")["AGE"][1] == 69
        assert ("late_file" in findings(report).index) == (order[0] == later)
        assert not one.run().accepted


def test_the_cut_off_is_the_local_date_of_the_extract_as_its_sender_writes_it(small: SmallStudy) -> None:
    small.change("study.yml", "cut_off: 2024-12-31\n", "")
    manifest(small, "a", "2024-06-02T06:00+08:00", *EXTRACTS)  # 1 June, 22:00 in Greenwich
    assert small.run().cut_off == "2024-06-02"


def test_a_late_file_of_an_incremental_source_supersedes_nothing(small: SmallStudy) -> None:
    manifest(small, "a", "2024-06-30T06:00", "dosing.csv")
    small.run()
    small.drop("dosing_0.csv", "ROW,SUBJ,DRUG,DOSE,START\n1,001,Testol,4,03-Mar-2024 09:30\n")
    manifest(small, "b", "2024-05-31T06:00", "dosing_0.csv")
    after = small.run()
    assert dataset(after, "ex")["EXDOSE"].to_list() == [5.0, 5.0, 10.0, 10.0]
    assert findings(after).loc["late_file", "dataset"] == "dosing"


@pytest.mark.parametrize("again", ["demog.csv", "demog_again.csv"])
@pytest.mark.parametrize("sent_again", ["what stood", "an older version"])
def test_bytes_sent_again_stand_at_their_later_extract_time(small: SmallStudy, again: str, sent_again: str) -> None:
    """Extracts 1 (aged 70), 2 (69), one of the two again as extract 4, and then the late extract 3 (68)."""
    contents = {age: EXTRACTS["demog.csv"].replace("70,female", f"{age},female") for age in ("70", "69", "68")}
    small.drop("demog.csv", contents["70"])
    manifest(small, "a", "2024-03-31T06:00", "demog.csv")
    small.run()
    small.drop("demog_2.csv", contents["69"])
    manifest(small, "b", "2024-04-30T06:00", "demog_2.csv")
    assert dataset(small.run(), "dm")["AGE"][1] == 69
    age = "69" if sent_again == "what stood" else "70"
    small.drop(again, contents[age])
    (small.landing / "a.manifest.json").unlink()
    manifest(small, "c", "2024-06-30T06:00", again)
    after = small.run()
    assert [(one.file, one.extracted_at) for one in after.accepted] == [(again, "2024-06-30T06:00")]
    small.drop("demog_late.csv", contents["68"])
    manifest(small, "d", "2024-05-31T06:00", "demog_late.csv")
    late = small.run()
    assert [dataset(one, "dm")["AGE"][1] for one in (after, late)] == [int(age), int(age)]
    assert "late_file" in findings(late).index
    accounts_close(late, small)
    assert not small.run().accepted


def test_an_incremental_file_sent_again_counts_once_at_its_later_extract_time(small: SmallStudy) -> None:
    row = "ROW,SUBJ,DRUG,DOSE,START\n1,001,Testol,{},03-Mar-2024 09:30\n"
    for name, extract, dose in (("dosing_1.csv", "04", 4), ("dosing_2.csv", "05", 6), ("dosing_3.csv", "07", 4)):
        small.drop(name, row.format(dose))
        manifest(small, name, f"2024-{extract}-30T06:00", name)
        report = small.run()
        assert len([one for one in report.accepted if one.file == name]) == 1
        assert dataset(report, "ex")["EXDOSE"].to_list()[0] == dose
    small.drop("dosing_4.csv", row.format(9))
    manifest(small, "late", "2024-06-30T06:00", "dosing_4.csv")
    late = small.run()
    assert dataset(late, "ex")["EXDOSE"].to_list()[0] == 4
    accounts_close(late, small)
    assert not small.run().accepted


def test_a_version_that_says_it_is_older_than_the_one_it_replaces_is_asked_about(small: SmallStudy) -> None:
    manifest(small, "a", "2024-06-30T06:00", "demog.csv")
    before = small.run()
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("70,female", "69,female"))
    manifest(small, "a", "2024-05-31T06:00", "demog.csv")
    after = small.run()
    pd.testing.assert_frame_equal(dataset(before, "dm"), dataset(after, "dm"))
    assert findings(after).loc["extract_time_backwards", "severity"] == "answer"
    assert "late_file" not in findings(after).index


def test_a_subject_and_rows_that_disappear_are_critical_until_they_are_back(small: SmallStudy) -> None:
    """STUDY F05: a drop of more than 2 %, or a subject without any row."""
    small.run()
    shorter = EXTRACTS["demog.csv"].replace("003,11,55,FEMALE,USA\n", "")
    small.drop("demog.csv", shorter)
    found = findings(small.run())
    assert found.loc["rows_dropped", "severity"] == "critical"
    assert "holds 2 rows, an earlier full delivery held 3" in found.loc["rows_dropped", "message"]
    assert found.loc["subject_disappeared", "severity"] == "critical"
    assert [(one["file"], list(one["lines"])) for one in found.loc["subject_disappeared", "places"]] == [
        ("demog.csv", [4])
    ]
    assert "003" not in str(found.loc[["subject_disappeared", "rows_dropped"]].drop(columns="places").to_dict())
    small.drop("demog.csv", shorter.replace("63.0", "64"))
    assert {"rows_dropped", "subject_disappeared"} <= set(findings(small.run()).index)
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("63.0", "64"))
    assert not {"rows_dropped", "subject_disappeared"} & set(findings(small.run()).index)


def test_an_earlier_file_is_read_once_however_many_deliveries_follow(
    small: SmallStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of its subjects says the same as the file: deleted, it is made anew from the file."""
    read: list[str] = []
    reader = deliveries.read_extracts

    def reading(study: Study, sources: Any, path: Path, name: str) -> Any:
        read.append(name)
        return reader(study, sources, path, name)

    monkeypatch.setattr(deliveries, "read_extracts", reading)
    small.run()
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("003,11,55,FEMALE,USA\n", ""))
    kept = findings(small.run())
    read.clear()
    again = EXTRACTS["demog.csv"].replace("003,11,55,FEMALE,USA\n", "").replace("63.0", "64")
    small.drop("demog.csv", again)
    told = findings(small.run())
    assert read.count("demog.csv") == 0
    shutil.rmtree(small.home / "raw" / "small" / "subjects")
    small.drop("demog.csv", again.replace("64", "65"))
    anew = findings(small.run())
    assert read.count("demog.csv") == 3
    places = [str(one.loc["subject_disappeared", "places"]) for one in (kept, told, anew)]
    assert places[0] == places[1] == places[2]


def test_a_contract_may_allow_a_drop_but_not_a_subject(small: SmallStudy) -> None:
    small.change("sources/vitals.yml", "delivery: full\n", "delivery: full\nrows_may_drop: 0.5\n")
    small.run()
    small.drop("vitals.csv", VITALS.replace("002,Day 8,2024-03-12,138,,,,N\n", ""))
    assert not {"rows_dropped", "subject_disappeared"} & set(findings(small.run()).index)
    kept = [row for row in VITALS.splitlines(keepends=True) if not row.startswith("003")]
    small.drop("vitals.csv", "".join(kept))
    found = findings(small.run())
    assert "rows_dropped" not in found.index
    assert "subject_disappeared" in found.index


def test_an_earlier_snapshot_is_as_it_was_after_later_drops(small: SmallStudy) -> None:
    before = small.run()
    kept = contents(Path(before.path))
    small.drop("vitals.csv", VITALS.replace("140,150", "141,150"))
    small.run()
    assert contents(Path(before.path)) == kept


def test_two_cuts_of_the_reference_study(tmp_path: Path) -> None:
    """Expected deletions, additions and changes are counted in the synthetic files themselves, by record id."""
    from datetime import date

    from synthetic import generate
    from transforms.differences import source_comparison
    from transforms.study import Study

    study = Study.load("ucmsc_dac")
    forms: list[dict[str, str]] = []
    for cut in (date(2023, 6, 30), date(2023, 9, 30)):
        landing = tmp_path / f"{cut:%Y%m%d}"
        generate(landing, cut_off=cut, subjects=12, truth=tmp_path / "truth")
        [file] = landing.glob("UCMSC_VITALS_*.csv")
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        forms.append({row["record_id"]: row.to_json() for _, row in table.iterrows()})
        pipeline.run(study, landing=landing, home=tmp_path / "home")
    told = difference(Home(tmp_path / "home", study.name), "previous", "current")
    assert list(told.inputs) == ["data", "cut-off"]
    compared = source_comparison(told.before, told.after, "vitals").summary()
    assert compared["added"] == len(forms[1].keys() - forms[0].keys()) > 0
    assert compared["removed"] == len(forms[0].keys() - forms[1].keys())
    assert compared["changed"] == sum(forms[0][one] != forms[1][one] for one in forms[0].keys() & forms[1].keys())
    rows = [row for one, within in told.select("VS") for row in told.rows(one, within)]
    assert rows
    assert {row["cause"] for row in rows} == {"data"}
    subjects = {row["subject"] for row in rows}
    for name in ("VS", "LB"):
        old, new = (side.datasets[name].to_pandas().set_index("USUBJID") for side in (told.before, told.after))
        changed = subjects | {row["subject"] for one, within in told.select(name) for row in told.rows(one, within)}
        still = sorted(set(old.index) & set(new.index) - changed)
        pd.testing.assert_frame_equal(old.loc[still], new.loc[still])
