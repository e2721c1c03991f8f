"""A broken specification is refused before the first row is read, every fault with its file, place and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.small_study import SmallStudy
from transforms.errors import ConfigurationError, Fault, UsageError
from transforms.study import Study

TRANSFORMS = Path(__file__).resolve().parents[2] / "transforms"


def faults(small: SmallStudy) -> tuple[Fault, ...]:
    with pytest.raises(ConfigurationError) as caught:
        small.load()
    assert caught.value.exit_code == 2
    return caught.value.faults


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "problem", "remedy"),
    [
        ("sdtm/vs.yml", "VSORRES: {", "VSORES: {", "VSORES", "is not a variable of VS", "Did you mean VSORRES?"),
        ("sdtm/dm.yml", "keys: [USUBJID]", "keys: [USUBJID]\nkeyes: [A]", "keyes", "unknown key 'keyes'", "one of:"),
        ("sdtm/dm.yml", "codelist: sex", "codelist: gender", "SEX", "no codelist 'gender'", "Known: sex"),
        ("sdtm/dm.yml", "hardcode_ct: YEARS", "hardcode_ct: Years", "AGEU", "'Years' is not a term of C66781", "YEARS"),
        ("sdtm/dm.yml", "assign_no_ct: AGE", "assign_no_ct: AGEE", "AGE", "demog has no column 'AGEE'", "mean AGE?"),
        ("sdtm/dm.yml", "EX.EXSTDTC", "EX.EXSTDT", "RFSTDTC", "reads EX.EXSTDT, which EX does not write", "EXSTDTC?"),
        ("sdtm/dm.yml", "EX.EXSTDTC", "EZ.EXSTDTC", "RFSTDTC", "there is no dataset EZ", "Known: DM, EX, VS"),
        ("sdtm/dm.yml", "  SITEID: {assign_no_ct: SITE}\n", "", "SITEID", "is required by the standard", "Say what"),
        ("sdtm/ex.yml", "assign_datetime: START", "assign_datetime: DRUG", "EXSTDTC", "is text, not a date", "Declare"),
        ("sdtm/ex.yml", "assign_datetime: START", "assign_no_ct: START", "EXSTDTC", "takes assign_datetime", "Write"),
        ("sdtm/ex.yml", "keys: [USUBJID, EXTRT, EXSTDTC]", "keys: USUBJID", "keys", "valid tuple", "Correct"),
        ("sdtm/ex.yml", "{assign_no_ct: DOSE}", "{asign_no_ct: DOSE}", "variables.EXDOSE", "names 0 algorithms", ""),
        ("sdtm/vs.yml", "table: vs_units, by: {VSTESTCD: VSTESTCD, UNIT: VSORRESU}}\n  VSSTRESN", "table: units, by: {VSTESTCD: VSTESTCD, UNIT: VSORRESU}}\n  VSSTRESN", "VSSTRESC", "no table 'units'", "vs_units"),
        ("sdtm/vs.yml", "lookup: STANDARD", "lookup: STANDRD", "VSSTRESU", "has no column 'STANDRD'", "mean STANDARD?"),
        ("sources/demog.yml", "  AGE: {type: integer}", "  AGE: {type: integr}", "columns.AGE.type", "input should be", ""),
        ("sources/demog.yml", "  AGE: {type: integer}", "  AGE: {type: date}", "columns.AGE", "type date needs layouts", ""),
        ("sources/demog.yml", "  AGE: {type: integer}", "  AGE: {type: integer, required: {SEXX: M}}", "columns", "names no column: 'SEXX'", "SEX"),
        ("sources/demog.yml", "  AGE: {type: integer}", "  AGE: {type: integer, complete: true}", "columns.AGE", "complete is for a date", ""),
        ("sources/demog.yml", "  SITE: {}", "  SITE: {}\n  EXTRA: {}", "columns.EXTRA", "is in no dataset", "not_submitted"),
        ("sources/demog.yml", "  SITE: {}", "  SITE: {not_submitted: why}", "columns.SITE", "is mapped and also listed", ""),
        ("sources/demog.yml", "subject: SUBJ", "subject: SUBJECT", "subject", "names no column: 'SUBJECT'", "SUBJ"),
        ("sources/demog.yml", "delivery: full", "delivery: sometimes", "delivery", "'full' or 'incremental'", ""),
        ("sources/vitals.yml", "NOTE: {", "NOTE: {made: true, ", "columns.NOTE", "0 places write it", "Name it in one"),
        ("sources/vitals.yml", "VISIT: {}", "VISIT: {codelist: visit}", "columns.VISIT", "no codelist 'visit'", "Known: sex"),
        ("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: result}", "columns.SYSBP", "type result needs 'result'", ""),
        ("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: result, result: {texts: forms}}", "columns.SYSBP", "no table 'forms'", "vs_units"),
        ("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: result, result: {texts: visits, reason: WHY}}", "columns.SYSBP.result.reason", "'WHY' is no made column", "made: true"),
        ("sources/vitals.yml", "WEIGHT_UNIT: {}", "WEIGHT_UNIT: {type: unit, unit: {table: vs_units, by: {VSTESTCD: TEST}, of: WEIGHT}}", "columns.WEIGHT_UNIT", "names no column: 'TEST'", ""),
        ("sources/vitals.yml", "WEIGHT_UNIT: {}", "WEIGHT_UNIT: {range: {by: VISIT, labels: [A]}}", "columns.WEIGHT_UNIT", "type text takes no 'range'", ""),
        ("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: number, constant: '1'}", "columns.SYSBP", "constant is for a text as it is collected", ""),
        ("sources/vitals.yml", "VISIT: {}", "VISIT: {constant: '{FORM}'}", "columns", "'{FORM}' knows {SOURCE}, {source} only", ""),
        ("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: number, default_midnight: true}", "columns.SYSBP", "default_midnight is for a datetime", ""),
        ("sources/dosing.yml", "record_id: [ROW]", "revisions: {key: [ROW], number: REV, status: DRUG, final: [F]}", "revisions", "names no column: 'REV'", ""),
        ("sources/dosing.yml", "record_id: [ROW]", "revisions: {key: [ROW], number: DOSE, status: DRUG, final: [F], corrected: [F]}", "revisions", "a state has one meaning", ""),
        ("sources/demog.yml", "delivery: full", "delivery: full\nformat: xml", "format", "no format 'xml'", "delimited, odm, hl7"),
        ("sources/demog.yml", "delivery: full", "delivery: full\nformat: odm\nitem_groups: [A]\nquote: x", "quote", "unknown key 'quote'", "item_groups"),
        ("sources/demog.yml", "delivery: full", "delivery: full\nitem_groups: [A]", "item_groups", "unknown key 'item_groups'", "encoding"),
        ("sources/demog.yml", "delivery: full", "delivery: full\nformat: odm\nitem_groups: [A]\nitems: {SEXX: I}", "", "items names no column: 'SEXX'", ""),
        ("sources/demog.yml", "delivery: full", "delivery: full\nformat: hl7\nfields: {SUBJ: PID-3}", "", "do not say which place is AGE, COUNTRY, SEX, SITE", ""),
        ("sources/demog.yml", "delivery: full", "delivery: full\nformat: hl7\nfields: {SUBJ: PID3}", "fields.SUBJ", "'PID3' is no place such as OBX-6.1", ""),
        ("tables/codelists.csv", "Male,term,M", "Male,term,Male", "line 2", "'Male' is not a term of C66731", "not extensible"),
        ("tables/codelists.csv", "Male,term,M", "Male,keep,M", "line 2", "unknown action 'keep'", "term, fix or ignore"),
        ("tables/codelists.csv", "not asked,ignore,,C66731", "MALE,ignore,,C66731", "line 5", "is mapped twice", "Keep one"),
        ("tables/codelists.csv", "C66731", "C00000", "sex", "CT C00000 is not among the codelists", "Correct the C-code"),
        ("tables/vs_units.csv", "WEIGHT,kg,kg,1", "WEIGHT,kg,kg,1\nWEIGHT,kg,kg,2", "line 4", "differently than line 3", ""),
        ("tables/visits.csv", "Day 1,2,DAY 1", "Day 1,2", "", "2 cells, the header has 3", "Correct the table"),
        ("tables/vs_tests.csv", "Weight", "Wei\u200bght", "", "line 3, column VSTEST: holds U+200B, which does not show", "Correct"),
        ("tables/vs_tests.csv", "Systolic Blood Pressure", '"Systolic\nBlood"', "", "column VSTEST: holds U+000A", "Correct the table"),
        ("sdtm/dm.yml", "ARM: {hardcode_no_ct: Arm A}", 'ARM: {hardcode_no_ct: "Arm\\tA"}', "variables.ARM.hardcode_no_ct", "holds U+0009, which does not show", "Write it without"),
        ("study.yml", "study: small", "study: other", "study", "says 'other'", "Name it as its folder: small"),
        ("study.yml", 'ct: "2022-09-30"', 'ct: "2029-01-01"', "standards", "ct-2029-01-01 is not among", "Name a version"),
        ("study.yml", "title: A small study", "title: A\ntitle: B", "line 4", "key 'title' is written twice", "Correct"),
    ],
)  # fmt: skip
def test_each_fault_is_named(
    small: SmallStudy, file: str, old: str, new: str, place: str, problem: str, remedy: str
) -> None:
    small.change(file, old, new)
    found = faults(small)
    matching = [
        fault
        for fault in found
        if fault.file == file and place in fault.place and problem in fault.problem and remedy in fault.remedy
    ]
    assert matching, "\n".join(map(str, found))
    assert all(fault.remedy for fault in found)


def test_a_derived_variable_belongs_to_all_records(small: SmallStudy) -> None:
    small.change(
        "sdtm/ex.yml", "  - source: dosing", "  - source: dosing\n    variables:\n      EXDY: {study_day: EXSTDTC}"
    )
    assert any("is derived in one group only" in fault.problem for fault in faults(small))


def test_an_extension_of_a_closed_codelist_is_refused(small: SmallStudy) -> None:
    small.specify("tables/ct_extensions.csv", "CODELIST,TERM,WHY\nC66731,X,asked for\n")
    assert "is not extensible" in str(faults(small)[0])


def test_a_cycle_is_refused_with_its_path(small: SmallStudy) -> None:
    small.change("sdtm/dm.yml", "ACTARMCD: {copy: ARMCD}", "ACTARMCD: {copy: ACTARM}")
    small.change("sdtm/dm.yml", "ACTARM: {copy: ARM}", "ACTARM: {copy: ACTARMCD}")
    (fault,) = faults(small)
    assert re.search(r"a cycle: DM\.ACTARM(CD)? needs DM\.ACTARM(CD)? needs DM\.ACTARM", fault.problem)


def test_a_missing_file_is_named(small: SmallStudy) -> None:
    (small.folder / "tables" / "vs_tests.csv").unlink()
    assert any("no table 'vs_tests'" in fault.problem for fault in faults(small))
    (small.folder / "study.yml").unlink()
    with pytest.raises(UsageError, match=r"no folder with a study\.yml"):
        small.load()


def test_faults_of_several_files_are_reported_at_once(small: SmallStudy) -> None:
    small.change("sdtm/dm.yml", "codelist: sex", "codelist: gender")
    small.change("sdtm/ex.yml", "assign_no_ct: DOSE", "assign_no_ct: DOSIS")
    small.change("sources/vitals.yml", "  NOTE: {not_submitted: Free text}", "  NOTE: {}")
    assert {fault.file for fault in faults(small)} >= {"sdtm/dm.yml", "sdtm/ex.yml", "sources/vitals.yml"}


def test_a_file_that_cannot_be_read_hides_no_other_fault(small: SmallStudy) -> None:
    small.change("sources/demog.yml", "delivery: full", "delivery: sometimes")
    small.change("sdtm/ex.yml", "assign_no_ct: DOSE", "assign_no_ct: DOSIS")
    found = faults(small)
    assert {"sources/demog.yml", "sdtm/ex.yml"} <= {fault.file for fault in found}
    assert not any("no source 'demog'" in fault.problem for fault in found), "a fault that only follows from another"


def test_country_codes_and_flags_stay_text(small: SmallStudy) -> None:
    """NO is Norway and Y a term; YAML 1.1 would read booleans."""
    small.change("sdtm/dm.yml", "{assign_no_ct: COUNTRY}", "{hardcode_no_ct: NO}")
    small.change("sources/demog.yml", "  COUNTRY: {}", "  COUNTRY: {not_submitted: Not needed}")
    assert small.load().datasets["DM"].variables["COUNTRY"].algorithm.says() == "hardcode_no_ct: NO"


@pytest.mark.parametrize("study", ["cdiscpilot01", "ucmsc_dac"])
def test_the_studies_of_the_project_have_no_fault(study: str) -> None:
    loaded = Study.load(study)
    for profile in loaded.file.placement.profiles:
        assert Study.load(study, placement=profile).datasets


def test_the_engine_knows_no_study_no_machine_and_no_airflow() -> None:
    studies = [path.parent.name for path in TRANSFORMS.parent.glob("cdisc_mappings/*/study.yml")]
    assert len(studies) >= 2
    for path in TRANSFORMS.rglob("*.py"):
        content = path.read_text(encoding="utf-8")
        if path.name != "runs.py":  # the demo names the study it shows
            assert not [study for study in studies if study in content], path
        assert not re.search(r"[\"'](/(home|root|usr|tmp|work|opt|var)/|[A-Z]:\\)", content), path
        assert not re.search(r"^\s*(import|from) airflow", content, re.MULTILINE), path


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("VSLNKID", True),  # identifier of every general observation class
        ("VSTPTREF", True),  # timing
        ("VSLAT", True),  # qualifier of findings
        ("EPOCH", True),
        ("VSTRT", False),  # qualifier of interventions
        ("LBTEST", False),  # another domain's
        ("VSFOO", False),
    ],
)
def test_a_variable_stands_in_its_table_or_its_class(small: SmallStudy, variable: str, allowed: bool) -> None:
    """SDTMIG 3.4: a dataset of a general observation class may take its class's and all timing variables."""
    assert (small.load().standards.variable("VS", variable) is not None) is allowed


OF_ANOTHER_NAME = {"DOSFRM": "FRM", "DOSFRQ": "FREQ", "DOSU": "UNIT"}
"""Parameters of a trial summary whose values are terms of a codelist that is not named as they are."""


@pytest.mark.parametrize("study", ["cdiscpilot01", "ucmsc_dac"])
def test_values_of_a_trial_summary_are_published_terms_with_their_codes(study: str) -> None:
    """Of every value that says it is a term of CDISC's: the package is the study's, the C-code is that of the term."""
    loaded = Study.load(study)
    published = {one.short_name: one for one in loaded.standards.codelists.values()}
    table = loaded.tables["ts"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert {row["TSPARMCD"] for row in rows} <= set(published["TSPARMCD"].terms)
    coded = [row for row in rows if row["TSVCDREF"] == "CDISC CT"]
    assert len(coded) >= 15
    for row in coded:
        name = OF_ANOTHER_NAME.get(row["TSPARMCD"], row["TSPARMCD"])
        known = published[name if name in published else "NY"]
        assert known.concepts.get(row["TSVAL"]) == row["TSVALCD"], row
        assert row["TSVCDVER"] == loaded.file.standards.ct


def test_published_standards_are_whole() -> None:
    """Labels fit XPT, names are unique, and every codelist named is at hand or listed as missing."""
    root = TRANSFORMS.parent / "cdisc_mappings" / "standards"
    published = Study.load("cdiscpilot01").standards
    missing = {
        line.split(",")[0] for line in (root / "ct-2022-09-30" / "missing_codelists.csv").read_text().splitlines()
    }
    for dataset in published.datasets.values():
        names = [variable.name for variable in dataset.variables]
        assert len(names) == len(set(names)), dataset.name
        for variable in dataset.variables:
            assert len(variable.label.encode()) <= 40
            assert len(variable.name) <= 8
            assert set(variable.codelists) <= {*published.codelists, *missing}, variable.name
    assert all(codelist.terms for codelist in published.codelists.values())
