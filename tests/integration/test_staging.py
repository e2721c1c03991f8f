"""Abilities of the source contract on a small study: listed corrections, identities, identifiers, dates, codelists."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import acts, operations, pipeline
from transforms.errors import ConfigurationError
from transforms.pipeline import Home
from transforms.trace import Tracer

VITALS = EXTRACTS["vitals.csv"]
HEADER = "SOURCE,RECORD,SHA256,LINE,COLUMN,FROM,TO,TICKET,REASON,BY\n"
WHY = "DM-7,The site confirmed the slip,Data manager"
SHA = hashlib.sha256(VITALS.encode()).hexdigest()
BY = {"by": "Dr A. Monitor", "reason": "checked with the site"}


def findings(report: pipeline.Report) -> pd.DataFrame:
    return pq.read_table(report.path / "findings.parquet").to_pandas()


def lines(report: pipeline.Report, rule: str) -> list[tuple[str, str, list[int]]]:
    found = findings(report)
    return [
        (row["severity"], row["variable"], sorted(int(one) for place in row["places"] for one in place["lines"]))
        for row in found[found["rule"] == rule].to_dict("records")
    ]


def dataset(report: pipeline.Report, name: str) -> pd.DataFrame:
    return pq.read_table(report.path / "sdtm" / f"{name}.parquet").to_pandas()


def outcomes(report: pipeline.Report, source: str) -> dict[tuple[str, str], int]:
    accounts = pq.read_table(report.path / "accounts.parquet").to_pandas()
    own = accounts[(accounts["stage"] == "staging") & (accounts["source"] == source)]
    return own.groupby(["outcome", "rule"])["rows"].sum().to_dict()


def correct(small: SmallStudy, *rows: str) -> pipeline.Report:
    small.specify("tables/corrections.csv", HEADER + "".join(f"{row},{WHY}\n" for row in rows))
    return small.run()


def test_a_listed_correction_changes_the_value_it_names_and_is_seen(small: SmallStudy) -> None:
    before = small.run()
    report = correct(small, f"vitals,,{SHA},5,SYSBP,140,104", "demog,002,,,SEX,female,Male")
    assert report.snapshot_id != before.snapshot_id
    vs = dataset(report, "vs")
    record = 1 + vs.index[(vs["USUBJID"] == "SMALL-01-002") & (vs["VSORRES"] == "104")][0]
    assert dataset(report, "dm").set_index("SUBJID").loc["002", "SEX"] == "M"
    assert sorted(lines(report, "listed_correction")) == [("information", "SEX", [3]), ("information", "SYSBP", [5])]
    assert "DM-7" in set(findings(report)["message"].str.extract(r"\((DM-\d)\)")[0])
    leaves = Tracer(report.path).trace("VS", int(record), "VSORRES").all_leaves()
    assert [(one.kind, one.file, one.line) for one in leaves if one.file != "tables/vs_tests.csv"] == [
        ("raw", "vitals.csv", 5),
        ("specification", "tables/corrections.csv", 2),
    ]
    other = Tracer(report.path).trace("VS", int(record), "VSDTC").all_leaves()
    assert "tables/corrections.csv" not in {one.file for one in other}, "the date was not corrected"
    kept = (Home(small.home, "small").raw.path(SHA)).read_bytes()
    assert kept == VITALS.encode(), "the collected value stays in the raw store"


def test_a_correction_that_does_not_fit_changes_nothing(small: SmallStudy) -> None:
    report = correct(small, f"vitals,,{SHA},5,SYSBP,14,104", "demog,009,,,SEX,Male,Female")
    assert lines(report, "correction_does_not_fit") == [("answer", "SYSBP", [5])]
    assert lines(report, "correction_without_record") == [("answer", "SEX", [])]
    assert "140" in set(dataset(report, "vs")["VSORRES"])
    assert not lines(report, "listed_correction")
    small.drop("vitals.csv", VITALS.replace(",140,", ",104,"))
    assert len(lines(small.run(), "correction_without_record")) == 2, "the file that it names is no longer the source"


def test_a_missing_value_is_corrected_where_from_is_empty(small: SmallStudy) -> None:
    report = correct(small, f"vitals,,{SHA},3,SYSBP,,125")
    assert lines(report, "listed_correction") == [("information", "SYSBP", [3])]
    assert "125" in set(dataset(report, "vs")["VSORRES"])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("vitels,,{sha},5,SYSBP,140,104", "no source 'vitels'"),
        ("vitals,,{sha},5,SYSPB,140,104", "has no column 'SYSPB'"),
        ("vitals,1,,,SYSBP,140,104", "is no record id of vitals"),
        ("vitals,,{sha},,SYSBP,140,104", "names no line of a file"),
        ("vitals,,abc,5,SYSBP,140,104", "names no line of a file"),
        ("demog,002,{sha},5,SEX,a,b", "names its row twice"),
        ("demog,,,,SEX,a,b", "names its row twice, or not at all"),
        ("demog,002,,,SEX,a,a", "FROM and TO are the same"),
        ("demog,002,,,SITE,a,b", "corrects an identifier"),
    ],
)
def test_a_correction_that_cannot_be_meant_is_a_fault(small: SmallStudy, row: str, problem: str) -> None:
    small.change("sdtm/dm.yml", "{assign_no_ct: SITE}", "{hardcode_no_ct: 10}")
    small.change("sources/demog.yml", "SITE: {}", "SITE: {identifier: true}")
    small.specify("tables/corrections.csv", f"{HEADER}{row.format(sha=SHA)},{WHY}\n")
    with pytest.raises(ConfigurationError, match=problem):
        small.load()


def test_a_correction_says_who_and_why_and_is_listed_once(small: SmallStudy) -> None:
    small.specify("tables/corrections.csv", HEADER + "demog,002,,,SEX,female,Male,,,\n" * 2)
    with pytest.raises(ConfigurationError) as caught:
        small.load()
    assert "TICKET, REASON, BY is empty" in str(caught.value)
    assert "corrects the value of line 2 again" in str(caught.value)


@pytest.fixture
def linked(small: SmallStudy) -> SmallStudy:
    """Vital signs come with a hospital number, which demographics link to the subject."""
    small.change("sources/demog.yml", "  SITE: {}", "  SITE: {}\n  MRN: {identifier: true}")
    small.change(
        "sources/vitals.yml", "subject: SUBJ", "subject: SUBJ\nidentity: {source: demog, column: MRN, subject: SUBJ}"
    )
    small.change("sources/vitals.yml", "  SUBJ: {}", "  SUBJ: {identifier: true}")
    small.drop("demog.csv", persons("771001", "771002", "771003"))
    content = VITALS.replace("\n001,", "\n771001,").replace("\n002,", "\n771002,").replace("\n003,", "\n771003,")
    small.drop("vitals.csv", content)
    return small


def persons(*numbers: str, more: str = "") -> str:
    rows = [f"00{row},10,{number},6{row},Male,USA\n" for row, number in enumerate(numbers, start=1)]
    return "SUBJ,SITE,MRN,AGE,SEX,COUNTRY\n" + "".join(rows) + more


def nothing_of(report: pipeline.Report, *numbers: str) -> None:
    """No hospital number stands in the snapshot or the delivery report."""
    for path in (*report.path.rglob("*.parquet"), report.path / "manifest.json", report.page or report.path):
        if path.suffix == ".parquet":
            shown = pq.read_table(path).to_pandas().astype(str).to_string()
        else:
            shown = path.read_text(encoding="utf-8")
        assert not [one for one in numbers if one in shown], path


def test_hospital_numbers_lead_to_subjects_one_to_one(linked: SmallStudy, capfd: pytest.CaptureFixture[str]) -> None:
    report = linked.run()
    assert set(dataset(report, "vs")["USUBJID"]) == {f"SMALL-01-00{one}" for one in "123"}
    nothing_of(report, "771001", "771002", "771003")
    assert "7710" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("demog", "place", "held", "left"),
    [
        # a number of two subjects: a person screened again under another subject number
        (persons("771001", "771001", "771003"), [2, 3], {2, 3, 4}, {"003"}),
        # a subject with two numbers
        (persons("771001", "771002", "771003", more="001,10,771009,61,Male,USA\n"), [2, 5], {2, 3, 4}, {"002", "003"}),
    ],
)
def test_an_identity_in_doubt_is_held(
    linked: SmallStudy, demog: str, place: list[int], held: set[int], left: set[str]
) -> None:
    linked.change("sources/demog.yml", "record_id: [SUBJ]\n", "")
    linked.drop("demog.csv", demog)
    report = linked.run()
    assert lines(report, "identity_not_one_to_one") == [("critical", "SUBJ", place)]
    (_, _, unknown) = lines(report, "unknown_identifier")[0]
    assert held <= set(unknown)
    assert set(dataset(report, "vs")["USUBJID"]) == {f"SMALL-01-{one}" for one in left}
    nothing_of(report, "771001", "771002", "771003", "771009")


def test_two_identities_in_doubt_are_two_findings(linked: SmallStudy) -> None:
    more = "004,10,771002,64,Male,USA\n005,10,771003,65,Male,USA\n"
    linked.drop("demog.csv", persons("771001", "771002", "771003", more=more))
    report = linked.run()
    assert sorted(one[2] for one in lines(report, "identity_not_one_to_one")) == [[3, 5], [4, 6]]
    nothing_of(report, "771001", "771002", "771003")


def test_a_number_of_nobody_is_held(linked: SmallStudy) -> None:
    content = (linked.landing / "vitals.csv").read_text(encoding="utf-8")
    linked.drop("vitals.csv", content.replace("771002,Day 8", "771234,Day 8"))
    report = linked.run()
    assert lines(report, "unknown_identifier") == [("critical", "SUBJ", [6])]
    assert outcomes(report, "vitals")["quarantined", "unknown_identifier"] == 1
    nothing_of(report, "771234")


def test_a_full_width_number_is_the_same_person(linked: SmallStudy) -> None:
    content = (linked.landing / "vitals.csv").read_text(encoding="utf-8")
    linked.drop("vitals.csv", content.replace("771002", "７７１００２"))
    assert not lines(linked.run(), "unknown_identifier")


def test_a_direct_identifier_in_a_text_is_withheld_and_the_row_stays(linked: SmallStudy) -> None:
    content = (linked.landing / "vitals.csv").read_text(encoding="utf-8")
    content = content.replace("calm, rested", "call １３９１２３４５６７８").replace(",NA,N", ",same as 771001,N")
    linked.drop("vitals.csv", content)
    report = linked.run()
    assert sorted(lines(report, "direct_identifier")) == [("critical", "NOTE", [2]), ("critical", "NOTE", [4])]
    assert len(dataset(report, "vs")) == 8
    staged = pq.read_table(report.path / "staged" / "vitals.parquet").to_pandas()
    assert staged["NOTE"].isna().all()
    nothing_of(report, "１３９１２３４５６７８", "13912345678", "771001")
    linked.change("sources/vitals.yml", "NOTE: {", "NOTE: {scan: false, ")
    assert not lines(linked.run(), "direct_identifier")


def test_a_spreadsheets_date_is_held_unless_the_contract_names_it(small: SmallStudy) -> None:
    """45342 is 2024-02-20 and 44713 is 2022-06-01 (the 1900 date system)."""
    small.drop("vitals.csv", VITALS.replace("2024-02-20", "45342").replace("2024-02-21", "44713"))
    assert lines(small.run(), "unreadable_date") == [("critical", "DATE", [2, 5])]
    small.change("sources/vitals.yml", "DD/MM/YYYY]", "DD/MM/YYYY, EXCELSERIAL]")
    report = small.run()
    assert not lines(report, "unreadable_date")
    assert {"2024-02-20", "2022-06-01"} <= set(dataset(report, "vs")["VSDTC"])


def test_a_subject_in_full_width_digits_is_read_and_told(small: SmallStudy) -> None:
    small.drop("vitals.csv", VITALS.replace("002,Day 8", "００２,Day 8"))
    report = small.run()
    assert lines(report, "text_normalised") == [("information", "SUBJ", [6])]
    assert lines(report, "subject_not_in_dm") == []


def test_codes_go_through_a_codelist_before_anything_reads_them(small: SmallStudy) -> None:
    small.change("sources/vitals.yml", "  WEIGHT_UNIT: {}", "  WEIGHT_UNIT: {codelist: weight_unit}")
    codelists = (small.folder / "tables" / "codelists.csv").read_text(encoding="utf-8")
    small.specify(
        "tables/codelists.csv",
        codelists + "weight_unit,kg,term,kg,\nweight_unit,公斤,term,kg,\nweight_unit,LB,term,LB,\n",
    )
    small.drop("vitals.csv", VITALS.replace("80.5,kg", "80.5,公斤").replace("60,kg", "60,stone").replace("LB", "ＬＢ"))
    report = small.run()
    assert lines(report, "unmapped_term") == [("critical", "WEIGHT_UNIT", [7])]
    assert outcomes(report, "vitals")["quarantined", "unmapped_term"] == 1
    assert lines(report, "text_normalised") == [("information", "WEIGHT_UNIT", [5])]
    vs = dataset(report, "vs")
    assert set(vs.loc[vs["VSTESTCD"] == "WEIGHT", "VSORRESU"]) == {"kg", "LB"}


def test_answers_are_spelt_as_the_list_has_them_and_others_are_asked_about(small: SmallStudy) -> None:
    small.change("sources/vitals.yml", "  WEIGHT_UNIT: {}", "  WEIGHT_UNIT: {answers: unit_offered}")
    codelists = (small.folder / "tables" / "codelists.csv").read_text(encoding="utf-8")
    small.specify("tables/codelists.csv", codelists + "unit_offered,kg,term,kg,\nunit_offered,LB,term,pound,\n")
    small.drop("vitals.csv", VITALS.replace("80.5,kg", "80.5,Kg").replace("60,kg", "60,stone").replace("LB", "ｌb"))
    report = small.run()
    staged = pq.read_table(report.path / "staged" / "vitals.parquet").to_pandas()
    assert set(staged["WEIGHT_UNIT"].dropna()) == {"kg", "LB", "stone"}, "as collected, never the term"
    assert lines(report, "text_normalised")[0][:2] == ("information", "WEIGHT_UNIT")
    # Where a mapping holds the record for the same text, that is the one finding.
    asked = lines(report, "answer_unknown") + lines(report, "unmapped_term")
    assert [one[2] for one in asked] == [[7]]
    assert "stone" not in str(findings(report)["message"].tolist())


def test_a_text_is_on_one_line_and_without_control_characters(small: SmallStudy) -> None:
    plain = small.run()
    small.drop("dosing.csv", EXTRACTS["dosing.csv"].replace("2,001,Testol", "2,001,Tes\u200btol"))
    note = '"calm,\r\n\trested"'
    small.drop("vitals.csv", VITALS.replace('"calm, rested"', note).replace(",NA,", ",see\x0fn,"))
    report = small.run()
    assert sorted(lines(report, "text_on_one_line")) == [("information", "DRUG", [3]), ("information", "NOTE", [2])]
    assert lines(report, "control_character_replaced") == [("answer", "NOTE", [5])]
    assert dataset(report, "ex")["EXTRT"].tolist() == dataset(plain, "ex")["EXTRT"].tolist()


def test_a_later_file_leads_to_the_row_it_superseded(small: SmallStudy) -> None:
    small.run()
    small.drop("dosing_2.csv", "ROW,SUBJ,DRUG,DOSE,START\n3,002,Testol,20,05-Mar-2024 08:00\n")
    report = small.run()
    ex = dataset(report, "ex")
    record = 1 + ex.index[ex["EXDOSE"] == 20][0]
    leaves = Tracer(report.path).trace("EX", int(record), "EXDOSE").all_leaves()
    assert [(one.kind, one.file, one.line) for one in leaves] == [
        ("raw", "dosing_2.csv", 2),
        ("superseded", "dosing.csv", 4),
    ]


def test_released_versions_in_doubt_leave_the_one_that_is_right(small: SmallStudy, tmp_path: Path) -> None:
    small.change(
        "sources/dosing.yml",
        "record_id: [ROW]",
        "revisions: {key: [SUBJ, START], number: REV, status: STATE, final: [F]}",
    )
    small.change("sources/dosing.yml", "  ROW: {}", "  ROW: {not_submitted: A number}\n  REV: {}\n  STATE: {}")
    header = "ROW,REV,STATE,SUBJ,DRUG,DOSE,START\n"
    when = "03-Mar-2024 09:30"
    small.drop("dosing.csv", f"{header}1,1,F,001,Testol,5,{when}\n2,1,F,001,Testol,50,{when}\n")
    report = small.run()
    assert lines(report, "ambiguous_revision") == [("critical", "REV, STATE", [2, 3])]
    assert dataset(report, "ex").empty
    where = Home(small.home, "small")
    listed = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    finding = next(one for one in listed if one["rule"] == "ambiguous_revision")
    acts.release(where, str(finding["finding_id"]), lines=[("dosing.csv", 2)], **BY)
    assert dataset(small.run(), "ex")["EXDOSE"].tolist() == [5]


def test_a_row_that_says_it_is_of_another_form_is_held(small: SmallStudy) -> None:
    small.change(
        "sources/vitals.yml", "  SUBJ: {}", '  SUBJ: {}\n  FORM: {constant: "F-{SOURCE}", not_submitted: Name}'
    )
    head, *rows = VITALS.splitlines()
    names = ["F-VITALS"] * len(rows)
    names[1], names[3], names[4] = "F-DEMOG", "f-vitals", "Ｆ-VITALS"
    said = [f"{row.split(',')[0]},{name},{row.partition(',')[2]}\n" for row, name in zip(rows, names, strict=True)]
    small.drop("vitals.csv", f"{head.replace('SUBJ', 'SUBJ,FORM')}\n" + "".join(said))
    report = small.run()
    assert lines(report, "not_of_source") == [("critical", "FORM", [3, 5])]
    assert outcomes(report, "vitals")[("quarantined", "not_of_source")] == 2
    (message,) = findings(report).query("rule == 'not_of_source'")["message"]
    assert "'F-VITALS'" in message and "DEMOG" not in message

    where = Home(small.home, "small")
    listed = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    finding = next(one for one in listed if one["rule"] == "not_of_source")
    acts.release(where, str(finding["finding_id"]), **BY)
    assert lines(small.run(), "not_of_source") == []


def test_a_row_of_another_form_links_no_person(linked: SmallStudy) -> None:
    linked.change("sources/demog.yml", "  SITE: {}", "  SITE: {constant: '10'}")
    linked.drop("demog.csv", persons("771001", "771002", "771003", more="004,99,771001,61,Male,USA\n"))
    report = linked.run()
    assert lines(report, "not_of_source") == [("critical", "SITE", [5])]
    assert lines(report, "identity_not_one_to_one") == []
    assert set(dataset(report, "vs")["USUBJID"]) == {f"SMALL-01-00{one}" for one in "123"}


def test_a_value_is_required_on_every_row_or_where_a_condition_holds(small: SmallStudy) -> None:
    small.change("sources/dosing.yml", "DOSE: {type: number}", "DOSE: {type: number, required: {DRUG: [Testol]}}")
    small.change("sources/dosing.yml", "  DRUG: {}", "  DRUG: {required: true}")
    small.drop(
        "dosing.csv",
        "ROW,SUBJ,DRUG,DOSE,START\n1,001,Testol,,03-Mar-2024 09:30\n2,001,,,10-Mar-2024 09:00\n"
        "3,002,Other,,05-Mar-2024 08:00\n4,003,Testol,10,06-Mar-2024 08:00\n",
    )
    report = small.run()
    assert lines(report, "required_value_missing") == [("answer", "DOSE", [2]), ("answer", "DRUG", [3])]
    found = findings(report).query("rule == 'required_value_missing'").set_index("variable")["message"]
    assert found["DOSE"].endswith("requires where DRUG is Testol is missing")


def test_the_day_of_a_complete_date_is_asked_for(small: SmallStudy) -> None:
    small.change(
        "sources/vitals.yml", "{type: date, layouts: [YYYY-MM-DD", "{type: date, layouts: [DD/Mon/YYYY, YYYY-MM-DD"
    )
    head, first, *rest = VITALS.splitlines(keepends=True)
    small.drop("vitals.csv", head + first.replace("2024-02-20", "UN/Feb/2024") + "".join(rest))
    assert lines(small.run(), "partial_date") == [("information", "DATE", [2])]
    small.change("sources/vitals.yml", "DATE: {type: date,", "DATE: {type: date, complete: true,")
    assert lines(small.run(), "partial_date") == [("answer", "DATE", [2])]
