"""Broken and changing extracts: each gives its named refusal or finding, and an earlier snapshot stays as it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import pipeline
from transforms.errors import NothingPublishedError, UsageError
from transforms.warehouse.raw_store import RawStore
from transforms.warehouse.snapshots import RunInProgressError

VITALS = EXTRACTS["vitals.csv"]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def findings(report: pipeline.Report) -> pd.DataFrame:
    return pq.read_table(report.path / "findings.parquet").to_pandas().set_index("rule")


def lines(report: pipeline.Report, rule: str) -> list[tuple[str, list[int]]]:
    places = findings(report).loc[[rule], "places"]
    return [(place["file"], list(place["lines"])) for row in places for place in row]


def dataset(report: pipeline.Report, name: str) -> pd.DataFrame:
    return pq.read_table(report.path / "sdtm" / f"{name}.parquet").to_pandas()


def accounts_close(report: pipeline.Report, small: SmallStudy) -> None:
    """Rows in = sum of outcomes, per file; accepted rows = sum over what they gave, per source and dataset."""
    accounts = pq.read_table(report.path / "accounts.parquet").to_pandas()
    staging, mapping = accounts[accounts["stage"] == "staging"], accounts[accounts["stage"] == "mapping"]
    manifest = json.loads((report.path / "manifest.json").read_text(encoding="utf-8"))
    key = ["file", "sha256"]
    blank = staging[staging["rule"] == "blank_line"].groupby(key)["rows"].sum()
    counts = staging.groupby(key)["rows"].sum().sub(blank, fill_value=0)
    for file in manifest["files"]:
        counted = counts.get((file["file"], file["sha256"]), 0)
        assert counted == file["rows"]
    accepted = staging[staging["outcome"] == "accepted"].groupby("source")["rows"].sum()
    for (source, _), rows in mapping.groupby(["source", "dataset"])["rows"].sum().items():
        assert rows == accepted.get(source, 0)


REFUSED = {
    "latin1 bytes": ("wrong_encoding", VITALS.replace("calm", "calmé").encode("latin-1"), "not utf-8"),
    "utf-16": ("wrong_encoding", VITALS.encode("utf-16"), "not utf-8"),
    "gb18030": ("wrong_encoding", VITALS.replace("calm", "安静").encode("gb18030"), "not utf-8"),
    "replacement character": ("wrong_encoding", VITALS.replace("calm", "\ufffd").encode(), "wrong conversion"),
    "NUL": ("nul_byte", VITALS.replace("calm", "ca\0lm").encode(), "NUL"),
    "missing column": ("missing_column", VITALS.replace(",NOTE", "").encode(), "NOTE"),
    "renamed column": ("missing_column", VITALS.replace("SYSBP", "SBP").encode(), "SYSBP"),
    "duplicate header": ("duplicate_header", VITALS.replace("NOTE", "SUBJ", 1).encode(), "repeats SUBJ"),
    "empty file": ("empty_file", b"", "empty"),
    "truncated": ("truncated_file", VITALS[:-14].encode(), "cut off"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused_and_the_snapshot_stands(small: SmallStudy, fault: str) -> None:
    before = small.run()
    kept = contents(before.path)
    rule, content, said = REFUSED[fault]
    small.drop("vitals.csv", content)
    with pytest.raises(NothingPublishedError, match=rule) as caught:
        small.run()
    assert caught.value.exit_code == 3
    assert said in str(caught.value)
    assert f"the publication {before.snapshot_id} stands" in str(caught.value)
    assert contents(before.path) == kept
    assert (small.home / "warehouse" / "small" / "current").resolve() == before.path
    logged = RawStore(small.home / "raw" / "small").received()[-1]
    assert (logged.accepted, logged.rule, logged.file) == (False, rule, "vitals.csv")


@pytest.mark.parametrize("fault", REFUSED)
def test_a_refused_file_of_a_first_run_leaves_the_others(small: SmallStudy, fault: str) -> None:
    rule, content, _ = REFUSED[fault]
    small.drop("vitals.csv", content)
    report = small.run()
    assert [one.rule for one in report.refused] == [rule]
    assert len(dataset(report, "dm")) == 3
    assert dataset(report, "vs").empty
    assert findings(report).loc["source_not_delivered", "severity"] == "critical"


def test_a_first_delivery_that_is_refused_leaves_nothing_that_stands(small: SmallStudy) -> None:
    for name in EXTRACTS:
        small.drop(name, "")
    with pytest.raises(NothingPublishedError, match=r"every new delivery was refused; nothing was published before:"):
        small.run()


def test_other_deliveries_proceed_on_the_last_good_version(small: SmallStudy) -> None:
    before = small.run()
    small.drop("vitals.csv", REFUSED["missing column"][1])
    small.drop("dosing.csv", EXTRACTS["dosing.csv"] + "5,003,Testol,10,13-Mar-2024 08:00\n")
    report = small.run()
    assert report.published
    assert report.snapshot_id != before.snapshot_id
    assert len(dataset(report, "vs")) == len(dataset(before, "vs"))
    assert len(dataset(report, "ex")) == 5


def test_a_refused_file_that_stays_in_landing_blocks_nothing_new(small: SmallStudy) -> None:
    small.run()
    small.drop("vitals.csv", REFUSED["empty file"][1])
    with pytest.raises(NothingPublishedError):
        small.run()
    again = small.run(as_of="2024-11-30")
    assert again.published
    assert [one.rule for one in again.refused] == ["empty_file"]
    assert sum(one.rule == "empty_file" for one in RawStore(small.home / "raw" / "small").received()) == 1


def test_rows_with_too_few_or_too_many_fields_are_quarantined_by_line(small: SmallStudy) -> None:
    rows = VITALS.splitlines(keepends=True)
    small.drop("vitals.csv", "".join([*rows[:2], "002,Day 8\n", *rows[2:4], "a,b,c,d,e,f,g,h,i\n", *rows[4:]]))
    report = small.run()
    assert lines(report, "field_count") == [("vitals.csv", [3, 6])]
    assert len(dataset(report, "vs")) == 8
    accounts_close(report, small)


def test_an_extra_column_is_a_finding_and_the_run_goes_on(small: SmallStudy) -> None:
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("\n", ",x\n").replace("COUNTRY,x", "COUNTRY,HEIGHT"))
    report = small.run()
    assert findings(report).loc["extra_column", "variable"] == "HEIGHT"
    assert len(dataset(report, "dm")) == 3


def test_a_last_line_without_line_break_is_taken_and_said(small: SmallStudy) -> None:
    small.drop("demog.csv", EXTRACTS["demog.csv"].rstrip("\n"))
    report = small.run()
    assert lines(report, "last_line_not_ended") == [("demog.csv", [4])]
    assert len(dataset(report, "dm")) == 3


def test_a_header_without_rows_is_a_finding(small: SmallStudy) -> None:
    small.drop("vitals.csv", VITALS.splitlines(keepends=True)[0])
    assert "no_rows" in findings(small.run()).index


def test_quoted_line_breaks_blank_lines_and_a_byte_order_mark_keep_the_line_numbers(small: SmallStudy) -> None:
    content = VITALS.replace('"calm, rested"', '"calm,\nrested"').replace(
        "002,Day 8,2024-03-12", "\n002,Day 8,12-03-2024"
    )
    small.drop("vitals.csv", "\ufeff" + content)
    report = small.run()
    assert lines(report, "unreadable_date") == [("vitals.csv", [8])]
    accounts_close(report, small)


def test_the_same_record_id_twice_is_quarantined(small: SmallStudy) -> None:
    small.drop("demog.csv", EXTRACTS["demog.csv"] + "003,11,56,FEMALE,USA\n")
    report = small.run()
    assert lines(report, "duplicate_key") == [("demog.csv", [4, 5])]
    assert set(dataset(report, "dm")["SUBJID"]) == {"001", "002"}
    assert "subject_not_in_dm" in findings(report).index
    accounts_close(report, small)


def test_what_waits_for_the_demographics_of_a_subject_is_one_finding(small: SmallStudy) -> None:
    """One subject lacks them and is in several datasets, another is mistyped in one form: two causes, two findings."""
    small.drop("demog.csv", "".join(EXTRACTS["demog.csv"].splitlines(keepends=True)[:-1]))
    small.drop("vitals.csv", VITALS + "009,Screening,2024-02-22,118,60,kg,,N\n")
    report = small.run()
    found = findings(report).loc[["subject_not_in_dm"]].set_index("dataset")
    assert set(found.index) == {"DM", "VS"}
    assert found.loc["DM", "message"].startswith("EX, VS: records belong to a subject that is not in DM")
    assert {place["file"] for place in found.loc["DM", "places"]} == {"dosing.csv", "vitals.csv"}
    assert [(place["file"], list(place["lines"])) for place in found.loc["VS", "places"]] == [("vitals.csv", [9])]
    assert found.loc["DM", "n_records"] == sum(len(place["lines"]) for place in found.loc["DM", "places"])
    assert found["finding_id"].is_unique and found["held"].all()
    accounts_close(report, small)


def test_equal_rows_are_duplicates_only_where_the_contract_says_so(small: SmallStudy) -> None:
    repeated = VITALS + "003,Screening,2024-02-22,118,60,kg,,N\n"
    small.drop("vitals.csv", repeated)
    kept = small.run()
    assert lines(kept, "equal_rows_kept") == [("vitals.csv", [7, 9])]
    assert len(dataset(kept, "vs")) == 10
    small.change("sources/vitals.yml", "delivery: full", "delivery: full\nequal_rows: duplicate")
    dropped = small.run()
    assert len(dataset(dropped, "vs")) == 8
    accounts_close(dropped, small)


@pytest.mark.parametrize(
    ("old", "new", "rule", "line", "where"),
    [
        ("2024-02-21", "31/04/2024", "unreadable_date", 5, "DATE"),
        (",140,150,LB", ",14o,150,LB", "unreadable_number", 5, "SYSBP"),
        (",140,150,LB", ",140,150,stone", "unmapped_term", 5, "VSSTRESU"),
        (",140,150,LB", ",140,150,", "unmapped_term", 5, "VSSTRESU"),
        ("002,Day 8", "002,Day Eight", "unmapped_term", 6, "VISITNUM, VISIT"),
        ("002,Screening", "009,Screening", "subject_not_in_dm", 5, "USUBJID"),
        ("002,Screening", ",Screening", "no_subject", 5, "SUBJ"),
    ],
)
def test_what_cannot_be_interpreted_is_held_never_nulled(
    small: SmallStudy, old: str, new: str, rule: str, line: int, where: str
) -> None:
    small.drop("vitals.csv", VITALS.replace(old, new))
    report = small.run()
    found = findings(report).loc[[rule]]
    assert (found["severity"] == "critical").all()
    assert found["held"].all()
    assert where in set(found["variable"])
    assert ("vitals.csv", [line]) in lines(report, rule)
    assert len(dataset(report, "vs")) < 8
    assert not set(found["message"].str.cat(found["remedy"])) & {new}
    accounts_close(report, small)


def test_an_unknown_sex_holds_the_subject_and_says_so_without_the_text(small: SmallStudy) -> None:
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("female", "Zhang San"))
    report = small.run()
    assert set(dataset(report, "dm")["SUBJID"]) == {"001", "003"}
    assert "Zhang" not in (report.path / "findings.parquet").read_bytes().decode("latin-1")
    assert "Zhang" not in findings(report).to_csv()
    assert lines(report, "unmapped_term") == [("demog.csv", [3])]


def test_missing_values_leading_zeros_and_exported_integers_are_not_interpreted(small: SmallStudy) -> None:
    report = small.run()
    staged = pq.read_table(report.path / "staged" / "vitals.parquet").to_pandas()
    assert staged["NOTE"].tolist()[2] == "NA"
    assert dataset(report, "dm")["SUBJID"].tolist() == ["001", "002", "003"]
    assert dataset(report, "dm")["AGE"].tolist() == [63, 70, 55]


def test_a_date_after_the_cut_off_is_a_finding(small: SmallStudy) -> None:
    assert lines(small.run(as_of="2024-03-11"), "after_cut_off") == [("vitals.csv", [6])]


def test_a_file_that_changes_while_it_is_read_is_refused(small: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small.run()
    small.drop("vitals.csv", VITALS + "003,Day 8,2024-03-13,120,,,,N\n")
    from transforms.warehouse import raw_store

    read = raw_store._chunks

    def growing(path: Path):  # type: ignore[no-untyped-def]
        yield from read(path)
        if path.name == "vitals.csv":
            with path.open("a", encoding="utf-8") as stream:
                stream.write("003,Day 8,2024-03-14,121,,,,N\n")

    monkeypatch.setattr(raw_store, "_chunks", growing)
    with pytest.raises(NothingPublishedError, match="changed while it was read"):
        small.run()
    monkeypatch.undo()
    assert small.run().snapshot_id != before.snapshot_id


def manifest(small: SmallStudy, **changes: object) -> dict[str, object]:
    files = [
        {"name": name, "sha256": hashlib.sha256(content.encode()).hexdigest(), "rows": content.count("\n") - 1}
        for name, content in EXTRACTS.items()
    ]
    return {"study": "small", "extracted_at": "2024-04-01T06:00", "files": files, **changes}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda content: content.update(study="another"), "wrong_study"),
        (lambda content: content["files"][1].update(sha256="0" * 64), "checksum_mismatch"),
        (lambda content: content["files"][1].update(rows=99), "row_count_mismatch"),
        (lambda content: content["files"].append({"name": "ae.csv", "sha256": "0" * 64}), "incomplete_delivery"),
    ],
)
def test_a_delivery_that_breaks_its_manifest_is_refused_whole(small: SmallStudy, change, rule: str) -> None:  # type: ignore[no-untyped-def]
    content = manifest(small)
    change(content)
    small.drop("manifest.json", json.dumps(content))
    with pytest.raises(NothingPublishedError, match=rule):
        small.run()
    received = RawStore(small.home / "raw" / "small").received()
    assert not any(one.accepted for one in received)
    assert {one.file for one in received} >= set(EXTRACTS)


def test_an_unreadable_manifest_is_refused(small: SmallStudy) -> None:
    for name in EXTRACTS:
        (small.landing / name).unlink()
    small.drop("manifest.json", "{")
    with pytest.raises(NothingPublishedError, match="bad_manifest"):
        small.run()


def test_a_manifest_declares_the_cut_off_where_the_study_has_none(small: SmallStudy) -> None:
    small.change("study.yml", "cut_off: 2024-12-31\n", "")
    with pytest.raises(UsageError, match="has no cut-off"):
        small.run()
    small.home.joinpath("raw").rename(small.home / "elsewhere")
    small.drop("manifest.json", json.dumps(manifest(small)))
    assert small.run().cut_off == "2024-04-01"


def test_the_same_bytes_again_change_nothing_and_new_bytes_are_a_new_version(small: SmallStudy) -> None:
    first = small.run()
    again = small.run()
    assert (again.snapshot_id, again.published, again.accepted) == (first.snapshot_id, False, ())
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    second = small.run()
    assert second.snapshot_id != first.snapshot_id
    accounts = pq.read_table(second.path / "accounts.parquet").to_pandas()
    old = accounts[(accounts["source"] == "vitals") & (accounts["outcome"] == "superseded")]
    assert old[["rule", "rows"]].to_numpy().tolist() == [["later_file", 7]]
    accounts_close(second, small)


def test_an_incremental_source_adds_and_supersedes_by_record_id(small: SmallStudy) -> None:
    small.run()
    small.drop(
        "dosing_2.csv",
        "ROW,SUBJ,DRUG,DOSE,START\n2,001,Testol,7.5,10-Mar-2024 09:00\n6,002,Testol,10,12-Mar-2024 08:00\n",
    )
    report = small.run()
    ex = dataset(report, "ex").set_index(["USUBJID", "EXSEQ"])["EXDOSE"].to_dict()
    assert ex == {
        ("SMALL-01-001", 1): 5,
        ("SMALL-01-001", 2): 7.5,
        ("SMALL-01-002", 1): 10,
        ("SMALL-01-002", 2): 10,
        ("SMALL-01-003", 1): 10,
    }
    accounts_close(report, small)


def test_an_unexpected_file_is_said_and_not_taken(small: SmallStudy) -> None:
    small.drop("readme.txt", "hello")
    report = small.run()
    assert [(one.file, one.rule) for one in report.refused] == [("readme.txt", "unexpected_file")]


def test_landing_without_extracts_or_folder_is_wrong_usage(small: SmallStudy, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="holds no extract of small"):
        pipeline.run(small.load(), landing=empty, home=small.home)
    with pytest.raises(UsageError, match="is no folder"):
        pipeline.run(small.load(), landing=empty / "nowhere", home=small.home)


def test_a_second_run_at_once_is_refused(small: SmallStudy) -> None:
    where = pipeline.Home(small.home, "small")
    with where.snapshots.lock("first"), pytest.raises(RunInProgressError, match=r"run first .*is running this study"):
        small.run()


def test_what_a_killed_run_leaves_behind_changes_nothing(small: SmallStudy, tmp_path: Path) -> None:
    undisturbed = pipeline.run(small.load(), landing=small.landing, home=tmp_path / "other")
    snapshots = small.home / "warehouse" / "small" / "snapshots"
    half = small.home / "warehouse" / "small" / "building" / "run" / "sdtm"
    half.mkdir(parents=True)
    (half / "dm.parquet").write_bytes(b"half")
    (snapshots / undisturbed.snapshot_id).mkdir(parents=True)
    raw = small.home / "raw" / "small"
    raw.mkdir(parents=True)
    (raw / "deliveries.jsonl").write_text('{"number": 0, "deli', encoding="utf-8")
    (raw / "objects").mkdir()
    (raw / "objects" / ".partial-1").write_bytes(b"half")
    report = small.run()
    assert report.snapshot_id == undisturbed.snapshot_id
    assert contents(report.path) == contents(undisturbed.path)
    assert not list((small.home / "warehouse" / "small" / "building").iterdir())


def test_an_older_version_sent_again_is_a_new_version(small: SmallStudy) -> None:
    first = small.run()
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    small.run()
    small.drop("vitals.csv", VITALS)
    again = small.run()
    assert len(again.accepted) == 1
    assert dataset(again, "vs")["VSORRES"].tolist() == dataset(first, "vs")["VSORRES"].tolist()
    assert small.run().accepted == ()


def test_a_copy_of_an_incremental_file_adds_nothing(small: SmallStudy) -> None:
    small.drop("dosing copy.csv", EXTRACTS["dosing.csv"])
    report = small.run()
    assert len(report.accepted) == 3
    assert len(dataset(report, "ex")) == 4


def test_two_full_files_without_an_extract_time_are_a_critical_finding(small: SmallStudy) -> None:
    small.drop("vitals (copy).csv", VITALS.replace("131", "132"))
    assert findings(small.run()).loc["order_not_declared", "severity"] == "critical"


def test_two_full_files_of_one_extract_time_are_a_critical_finding(small: SmallStudy) -> None:
    small.drop("vitals (copy).csv", VITALS.replace("131", "132"))
    named = [
        {"name": one, "sha256": hashlib.sha256((small.landing / one).read_bytes()).hexdigest()}
        for one in ("vitals.csv", "vitals (copy).csv")
    ]
    small.drop("manifest.json", json.dumps({"extracted_at": "2024-04-01T06:00", "files": named}))
    found = findings(small.run()).loc["order_not_declared"]
    assert (found["severity"], {place["file"] for place in found["places"]}) == (
        "critical",
        {"vitals.csv", "vitals (copy).csv"},
    )
    assert "vitals.csv and vitals (copy).csv declare the same extract time" in found["message"]


def test_an_open_quote_refuses_the_file_instead_of_swallowing_rows(small: SmallStudy) -> None:
    small.run()
    small.drop("vitals.csv", VITALS.replace('rested"', "rested"))
    with pytest.raises(NothingPublishedError, match="unbalanced_quote: a quote that is opened on line 2"):
        small.run()


def test_an_oversized_field_is_refused(small: SmallStudy) -> None:
    small.drop("vitals.csv", VITALS.replace("calm", "x" * 40_000_000))
    assert [one.rule for one in small.run().refused] == ["unreadable_file"]


def test_a_folder_in_landing_is_said(small: SmallStudy) -> None:
    (small.landing / "vitals_older.csv").mkdir()
    assert [(one.file, one.rule) for one in small.run().refused] == [("vitals_older.csv", "unexpected_file")]


def test_long_texts_go_on_in_supplemental_qualifiers(small: SmallStudy) -> None:
    """SDTMIG 3.4, 4.5.3.2; a Chinese character has three bytes, so 200 bytes hold 66 of them."""
    small.change("sources/vitals.yml", "{not_submitted: Free text}", "{}")
    small.change("sdtm/vs.yml", "working:", "supplemental:\n  VSNOTE: {assign_no_ct: NOTE, label: Note}\nworking:")
    small.drop("vitals.csv", VITALS.replace("calm, rested", "文" * 150))
    supplemental = dataset(small.run(), "suppvs")
    notes = supplemental[supplemental["USUBJID"] == "SMALL-01-001"].groupby("IDVARVAL")
    for _, rows in notes:
        parts = rows.sort_values("QNAM")
        assert parts["QNAM"].tolist() in (["VSNOTE", "VSNOTE1", "VSNOTE2"], ["VSNOTE"])
        assert "".join(parts["QVAL"]) in {"文" * 150, "NA"}
        assert (parts["QVAL"].map(lambda value: len(value.encode())) <= 200).all()
    assert set(supplemental["QLABEL"]) == {"Note"}


def test_a_file_taken_before_need_not_stay_in_landing(small: SmallStudy) -> None:
    small.drop("manifest.json", json.dumps(manifest(small)))
    first = small.run()
    (small.landing / "dosing.csv").unlink()
    again = small.run()
    assert (again.snapshot_id, again.refused) == (first.snapshot_id, ())
