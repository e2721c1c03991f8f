"""What the engine finds beyond the row a record is made of: joined rows, matching records, relations, visit numbers.

The small study's extracts stand in tests/small_study.py; expected values are read off them by hand.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.mapped import map_landing
from tests.small_study import EXTRACTS, SPECIFICATION, SmallStudy
from transforms.errors import ConfigurationError
from transforms.trace import Tracer

BATCHES = """\
source: batches
label: Release certificates
files: batches*.csv
delivery: full
columns:
  BATCH: {}
  PASSAGE: {type: integer}
  NOTE: {not_submitted: Free text}
"""


@pytest.fixture
def with_batches(small: SmallStudy) -> SmallStudy:
    """The small study with a lot on each dosing row and certificates that belong to lots."""
    lots = iter(["START,LOT", "L1", "L2", "L1", "L9"])
    rows = [f"{row},{next(lots)}" for row in EXTRACTS["dosing.csv"].rstrip().split("\n")]
    rows[0] = rows[0].replace("START,START", "START")
    small.drop("dosing.csv", "\n".join(rows) + "\n")
    small.drop("batches.csv", "BATCH,PASSAGE,NOTE\nL1,3,a\nL2,4,b\nL3,5,c\n")
    small.specify("sources/batches.yml", BATCHES)
    small.change("sources/dosing.yml", "  DRUG: {}\n", "  DRUG: {}\n  LOT: {}\n")
    small.change("sdtm/ex.yml", "  - source: dosing\n", "  - source: dosing\n    join: {batches: {by: {BATCH: LOT}}}\n")
    small.change("sdtm/ex.yml", "  EXDOSU:", "  EXLOT: {assign_no_ct: LOT}\n  EXDOSU:")
    small.specify(
        "sdtm/ex.yml",
        (small.folder / "sdtm/ex.yml").read_text()
        + "supplemental:\n  PASSAGE: {assign_no_ct: batches.PASSAGE, label: Cell Passage}\n",
    )
    return small


def test_a_row_reads_the_joined_row_that_fits(with_batches: SmallStudy) -> None:
    sdtm = map_landing(with_batches.load(), with_batches.landing, with_batches.home)
    passage = sdtm["SUPPEX"].set_index(["USUBJID", "IDVARVAL"])["QVAL"].to_dict()
    assert passage == {("SMALL-01-001", "1"): "3", ("SMALL-01-001", "2"): "4", ("SMALL-01-002", "1"): "3"}
    told = [one for one in sdtm.findings if one.rule == "no_row_fits"]
    assert [place.lines for one in told for place in one.places] == [(5,)], "L9 of line 5 has no certificate"
    assert [one.severity for one in told] == ["answer"]
    counted = {(one.outcome, one.rule): one.rows for one in sdtm.account if one.source == "batches"}
    assert counted == {("record", ""): 2, ("none", "no_record_reads_it"): 1}


def test_two_joined_rows_that_fit_are_a_finding(with_batches: SmallStudy) -> None:
    with_batches.drop("batches.csv", "BATCH,PASSAGE,NOTE\nL1,3,a\nL1,4,b\nL2,4,b\nL9,2,c\n")
    sdtm = map_landing(with_batches.load(), with_batches.landing, with_batches.home)
    told = [one for one in sdtm.findings if one.rule == "several_rows_fit"]
    assert [place.lines for one in told for place in one.places] == [(2, 4)]
    assert "no_row_fits" not in sdtm.rules()


def test_an_optional_join_asks_for_nothing(with_batches: SmallStudy) -> None:
    with_batches.change("sdtm/ex.yml", "by: {BATCH: LOT}", "by: {BATCH: LOT}, optional: true")
    sdtm = map_landing(with_batches.load(), with_batches.landing, with_batches.home)
    assert "no_row_fits" not in sdtm.rules()


def test_a_value_of_a_joined_row_leads_to_its_line(with_batches: SmallStudy) -> None:
    report = with_batches.run()
    ex = pq.read_table(report.path / "sdtm" / "suppex.parquet").to_pandas()
    record = int(ex.index[(ex["USUBJID"] == "SMALL-01-001") & (ex["IDVARVAL"] == "2")][0]) + 1
    leaves = {
        (leaf.file, leaf.line, leaf.columns)
        for leaf in Tracer(report.path).trace("SUPPEX", record, "QVAL").all_leaves()
    }
    assert leaves == {("batches.csv", 3, ("PASSAGE",))}


def test_a_source_without_subjects_makes_no_records(with_batches: SmallStudy) -> None:
    with_batches.change(
        "sdtm/ex.yml", "  - source: dosing\n    join", "  - source: batches\n  - source: dosing\n    join"
    )
    with pytest.raises(ConfigurationError, match="batches names no subject"):
        with_batches.load()


LINKED = """\
  EXLNKID: {iso_basic: EXSTDTC}
"""
RELREC = """\
dataset: RELREC
keys: [RELID, USUBJID, RDOMAIN, IDVARVAL]
relations:
  - {relid: EXVS, datasets: {EX: EXLNKID, VS: VSLNKID}, types: {EX: ONE, VS: MANY}}
  - {relid: DAY, records: {EX: {match: EXLNKID}, VS: {match: VSLNKID, where: {VSTESTCD: SYSBP}}}}
"""


@pytest.fixture
def linked(small: SmallStudy) -> SmallStudy:
    """The small study with infusions and vital signs of one day linked."""
    small.change("sdtm/ex.yml", "  EXSTDY:", LINKED + "  EXSTDY:")
    small.change("sdtm/vs.yml", "  VSDY:", "  VSLNKID: {value_of: EX.EXLNKID, same_day: {VSDTC: EXSTDTC}}\n  VSDY:")
    small.specify("sdtm/relrec.yml", RELREC)
    return small


def test_records_of_one_day_are_linked_and_related(linked: SmallStudy) -> None:
    sdtm = map_landing(linked.load(), linked.landing, linked.home)
    vs = sdtm["VS"]
    # Of the vital signs only those of 001 on 2024-03-10 fall on a day of dosing (10-Mar-2024 09:00).
    assert vs.loc[vs["VSLNKID"].notna(), ["USUBJID", "VSTESTCD", "VSLNKID"]].to_numpy().tolist() == [
        ["SMALL-01-001", "SYSBP", "20240310T0900"]
    ]
    rows = sdtm["RELREC"].drop(columns="STUDYID").fillna("").to_numpy().tolist()
    assert rows == [
        ["EX", "SMALL-01-001", "EXSEQ", "2", "", "DAY1"],
        ["VS", "SMALL-01-001", "VSSEQ", str(int(vs.loc[vs["VSLNKID"].notna(), "VSSEQ"].iloc[0])), "", "DAY1"],
        ["EX", "", "EXLNKID", "", "ONE", "EXVS"],
        ["VS", "", "VSLNKID", "", "MANY", "EXVS"],
    ]


def test_relations_lead_to_the_records_they_name(linked: SmallStudy) -> None:
    report = linked.run()
    step = Tracer(report.path).trace("RELREC", 1, "IDVARVAL")
    assert {(one.dataset, one.record) for one in step.inputs} == {("EX", 2)}
    findings = pq.read_table(report.path / "findings.parquet").to_pandas()
    assert not findings["dataset"].eq("RELREC").any()


def test_no_relation_of_datasets_without_a_link(linked: SmallStudy) -> None:
    linked.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("2024-03-10", "2024-03-11"))
    assert map_landing(linked.load(), linked.landing, linked.home)["RELREC"].empty


def test_several_matching_records_that_differ_are_critical(linked: SmallStudy) -> None:
    linked.drop("dosing.csv", EXTRACTS["dosing.csv"] + "5,001,Testol,5,10-Mar-2024 17:00\n")
    sdtm = map_landing(linked.load(), linked.landing, linked.home)
    told = [one for one in sdtm.findings if one.rule == "several_values"]
    assert [(one.dataset, one.variable) for one in told] == [("VS", "VSLNKID")]
    assert sdtm["VS"]["VSLNKID"].dropna().tolist() == ["20240310T0900"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("match: EXLNKID", "match: EXLINK", "reads EX.EXLINK, which EX does not write"),
        ("datasets: {EX: EXLNKID, VS: VSLNKID}", "datasets: {EX: EXLNKID}", "relates two or more datasets"),
        ("types: {EX: ONE, VS: MANY}", "types: {EX: ONE}", "types says ONE or MANY"),
        ("EX: {match: EXLNKID}, ", "EX: {}, ", "either each of the records has a match"),
        ("EX: {match: EXLNKID}, ", "CM: {match: CMSPID}, ", "there is no dataset CM"),
    ],
)
def test_a_broken_relation_is_refused(linked: SmallStudy, old: str, new: str, problem: str) -> None:
    linked.change("sdtm/relrec.yml", old, new)
    with pytest.raises(ConfigurationError, match=problem):
        linked.load()


def test_visits_outside_the_plan_are_numbered_behind_the_planned_one(small: SmallStudy) -> None:
    small.change("study.yml", "unscheduled: 'Extra (?P<number>\\d+\\.\\d+)'", "unscheduled: 'Extra.*'")
    small.specify(
        "sources/visits.yml",
        "source: visits\nlabel: Visit log\nfiles: visitlog*.csv\ndelivery: full\nsubject: SUBJ\ncolumns:\n"
        "  SUBJ: {}\n  VISIT: {}\n  DATE: {type: date, layouts: [YYYY-MM-DD]}\n",
    )
    small.specify(
        "sdtm/sv.yml",
        "dataset: SV\nkeys: [USUBJID, VISITNUM]\nrecords:\n  - source: visits\nvariables:\n"
        "  VISITNUM: {visit_number: SVSTDTC, planned: planned_number}\n"
        "  VISIT: {visit_name: VISITNUM, planned: planned_name}\n"
        "  SVPRESP: {flag_when: {planned_number: {present: true}}}\n"
        "  SVSTDTC: {assign_datetime: DATE}\n  SVENDTC: {assign_datetime: DATE}\n"
        "working:\n  planned_number: {assign_visit: VISIT, take: VISITNUM, type: Num}\n"
        "  planned_name: {assign_visit: VISIT, take: VISIT}\n",
    )
    small.change(
        "sdtm/vs.yml", "VISITNUM: {assign_visit: VISIT}", "VISITNUM: {visit_by_date: VSDTC, unless: planned_number}"
    )
    small.change("sdtm/vs.yml", "VISIT: {assign_visit: VISIT}", "VISIT: {visit_name: VISITNUM, planned: planned_name}")
    small.specify(
        "sdtm/vs.yml",
        (small.folder / "sdtm/vs.yml").read_text()
        + "  planned_number: {assign_visit: VISIT, take: VISITNUM, type: Num}\n"
        + "  planned_name: {assign_visit: VISIT, take: VISIT}\n",
    )
    extra = "".join(f"001,Extra visit,2024-03-{day:02d}\n" for day in range(20, 9, -1))  # 11 visits, the last first
    small.drop(
        "visitlog.csv",
        "SUBJ,VISIT,DATE\n001,Screening,2024-02-20\n001,Day 1,2024-03-03\n001,Day 8,2024-03-10\n"
        + extra
        + "001,Extra early,2024-02-01\n002,Screening,2024-02-21\n002,Extra,2024-02-25\n",
    )
    small.drop(
        "vitals.csv",
        "SUBJ,VISIT,DATE,SYSBP,WEIGHT,WEIGHT_UNIT,NOTE,DELETED\n001,Extra visit,2024-03-20,120,,,,N\n"
        "001,Day 8,2024-03-10,121,,,,N\n002,Extra,2024-02-25,122,,,,N\n003,Extra,2024-02-25,123,,,,N\n",
    )
    sdtm = map_landing(small.load(), small.landing, small.home)
    sv = sdtm["SV"].set_index("USUBJID")
    assert sv.loc["SMALL-01-001", "VISITNUM"].tolist() == [
        0.01,
        1,
        2,
        3,
        *[round(3 + k / 100, 2) for k in range(1, 12)],
    ]
    assert sv.loc["SMALL-01-002", "VISIT"].tolist() == ["SCREENING", "UNSCHEDULED 1.01"]
    assert sdtm["SV"].loc[lambda frame: frame["VISITNUM"] == 3.1, "VISIT"].tolist() == ["UNSCHEDULED 3.10"]
    assert sv["SVPRESP"].isna().sum() == 13
    vs = sdtm["VS"].set_index("VSORRES")
    assert vs["VISITNUM"].fillna(-1).to_dict() == {"120": 3.11, "121": 3, "122": 1.01, "123": -1}
    assert vs["VISIT"].to_dict() == {"120": "UNSCHEDULED 3.11", "121": "DAY 8", "122": "UNSCHEDULED 1.01", "123": None}
    assert [one.dataset for one in sdtm.findings if one.rule == "no_visit_on_date"] == ["VS"]


def test_values_of_the_whole_study_ranges_and_texts(small: SmallStudy) -> None:
    small.specify(
        "tables/ts.csv",
        "PARM,NAME,VALUE\nSSTDTC,Study Start Date,\n"
        "ACTSUB,Actual Number of Subjects,\nDCUTDTC,Data Cutoff Date,\nRANDOM,Trial is Randomized,N\n",
    )
    small.specify(
        "sdtm/ts.yml",
        "dataset: TS\nkeys: [TSPARMCD]\nrecords:\n  - table: ts\nvariables:\n  TSSEQ: {hardcode_no_ct: 1}\n"
        "  TSPARMCD: {assign_no_ct: PARM}\n  TSPARM: {assign_no_ct: NAME}\n  TSVAL:\n    choose:\n"
        "      - {when: {TSPARMCD: SSTDTC}, variable: first}\n      - {when: {TSPARMCD: ACTSUB}, variable: number}\n"
        "      - {when: {TSPARMCD: DCUTDTC}, variable: cut_off}\n      - {variable: planned}\n"
        "working:\n  planned: {assign_no_ct: VALUE}\n"
        "  first: {earliest_of_study: DM.RFXSTDTC, where: {SEX: F}, part: date}\n"
        "  number: {count_of_study: DM, where: {SEX: F}}\n",
    )  # fmt: skip
    small.specify("tables/doses.csv", "DRUG,LOW,HIGH,LEVEL\nTESTOL,,7,low\nTESTOL,7,10,middle\nTESTOL,10,,high\n")
    small.change(
        "sdtm/ex.yml",
        "  EXDOSU:",
        "  EXGRPID: {compose: '{EXTRT} {EXDOSE} mg'}\n"
        "  EXDOSTXT: {lookup_range: LEVEL, table: doses, by: {DRUG: EXTRT}, number: EXDOSE}\n  EXDOSU:",
    )
    small.change("sdtm/vs.yml", "  VSDY:", "  VSCLSIG: {flag_within: VSDTC, after: EX.EXSTDTC, hours: 24}\n  VSDY:")
    sdtm = map_landing(small.load(), small.landing, small.home)
    # The women are 002 and 003, first dosed on 5 and 6 March; study.yml says the cut-off.
    assert sdtm["TS"].set_index("TSPARMCD")["TSVAL"].to_dict() == {
        "ACTSUB": "2",
        "DCUTDTC": "2024-12-31",
        "RANDOM": "N",
        "SSTDTC": "2024-03-05",
    }
    assert "cut_off" not in sdtm["TS"]
    ex = sdtm["EX"].sort_values("EXSTDTC")
    assert ex["EXGRPID"].tolist() == ["TESTOL 5 mg", "TESTOL 10 mg", "TESTOL 10 mg", "TESTOL 5 mg"]
    assert ex["EXDOSTXT"].tolist() == ["low", "high", "high", "low"], "a low end is in its range, a high end is not"
    assert sdtm["VS"]["VSCLSIG"].isna().all(), "a date without a time is not within 24 hours of anything"


def test_within_hours_counts_both_ends(small: SmallStudy) -> None:
    small.change("sources/vitals.yml", "layouts: [YYYY-MM-DD, DD/MM/YYYY]", "layouts: [YYYY-MM-DDThh:mm]")
    small.change("sources/vitals.yml", "type: date,", "type: datetime,")
    small.change("sdtm/vs.yml", "  VSDY:", "  VSCLSIG: {flag_within: VSDTC, after: EX.EXSTDTC, hours: 24}\n  VSDY:")
    times = ["2024-03-03T09:29", "2024-03-03T09:30", "2024-03-04T09:30", "2024-03-04T09:31", "2024-03-10T09:00"]
    rows = [f"001,Day 1,{time},{number},,,,N\n" for number, time in enumerate(times, start=101)]
    small.drop("vitals.csv", "SUBJ,VISIT,DATE,SYSBP,WEIGHT,WEIGHT_UNIT,NOTE,DELETED\n" + "".join(rows))
    vs = map_landing(small.load(), small.landing, small.home)["VS"]
    assert vs.sort_values("VSORRES")["VSCLSIG"].tolist() == [None, "Y", "Y", None, "Y"]


def test_dashes_of_a_file_stand_for_the_dataset_its_placement_names(small: SmallStudy, tmp_path: Path) -> None:
    small.change("study.yml", "visits:", "placement: {default: one, profiles: [one, other]}\nvisits:")
    written = SPECIFICATION["sdtm/dm.yml"].replace("EX.EXSTDTC", "--.--STDTC")
    small.specify("sdtm/dm.yml", written.replace("keys:", "placement: {one: EX}\nkeys:"))
    sdtm = map_landing(small.load(), small.landing, small.home)
    assert sdtm["DM"]["RFXSTDTC"].tolist() == ["2024-03-03T09:30", "2024-03-05T08:00", "2024-03-06T08:00"]
    from transforms.study import Study

    with pytest.raises(ConfigurationError, match="does not say what `--` is under 'other'"):
        Study.load(small.folder, placement="other")


def test_numbers_that_differ_in_writing_agree() -> None:
    """What `match` compares: a number with a text of the same number, in both columns' own types."""
    from transforms.algorithms.matching import _stacked
    from transforms.core import text

    stacked = _stacked(pd.Series([63.0, 2.5]), text.from_values(["63", "2.5"]))
    assert stacked.astype(object).tolist() == ["63", "2.5", "63", "2.5"]
