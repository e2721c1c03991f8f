"""Records added to an analysis dataset: carried forward and averaged, what depends on them and where it is from.

Expected values are worked out by hand from the extract below.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.small_study import SmallStudy
from transforms.errors import ConfigurationError
from transforms.trace import Tracer

# First dose: 001 on 2024-03-03, 002 on 2024-03-05, 003 on 2024-03-06.
VITALS = """\
SUBJ,VISIT,DATE,SYSBP,WEIGHT,WEIGHT_UNIT,NOTE,DELETED
001,Screening,2024-02-20,120,,,,N
001,Day 8,2024-03-10,131,,,,N
001,Extra 3.1,2024-03-12,125,,,,N
002,Screening,2024-02-21,140,,,,N
002,Day 8,2024-03-12,138,,,,N
002,Extra 3.1,2024-03-26,130,,,,N
003,Screening,2024-02-22,118,,,,N
"""
ADSL = """\
dataset: ADSL
class: ADSL
label: Subject-Level Analysis Dataset
keys: [USUBJID]
records: [{source: DM}]
variables:
  SUBJID: {copy: DM.SUBJID}
  SITEID: {copy: DM.SITEID}
  AGE: {copy: DM.AGE}
  AGEU: {copy: DM.AGEU}
  SEX: {copy: DM.SEX}
  RACE: {hardcode_ct: UNKNOWN}
  ARM: {copy: DM.ARM}
  TRT01P: {copy: DM.ARM}
  TRTSDT: {copy: DM.RFXSTDTC}
  TRTEDT: {copy: DM.RFXSTDTC}
  SAFFL: {choose: [{value: Y}]}
"""
ADVS = """\
dataset: ADVS
class: BDS
label: Vital Signs Analysis Data
keys: [USUBJID, PARAMCD, AVISITN, VSSEQ]
records: [{source: VS}]
subject: [SAFFL]
variables:
  TRTP: {of_subject: ADSL.TRT01P}
  PARAMCD: {copy: VS.VSTESTCD}
  PARAM: {lookup: PARAM, table: parameters, by: {PARAMCD: PARAMCD}}
  AVISIT: {lookup: AVISIT, table: windows, by: {WINDOW: window}}
  AVISITN: {lookup: AVISITN, table: windows, by: {WINDOW: window}}
  ADT: {copy: VS.VSDTC}
  ADY: {copy: VS.VSDY}
  AVAL: {copy: VS.VSSTRESN}
  BASE: {of_baseline: AVAL, by: [USUBJID, PARAMCD]}
  CHG: {difference: [AVAL, BASE], when: {AVISITN: {above: 0}}}
  ABLFL: {flag_when: {AVISITN: 0, ANL01FL: Y, DTYPE: {present: false}}}
  ANL01FL: {flag_first: [AWTDIFF, ADY], by: [USUBJID, PARAMCD, window]}
  AWTARGET: {lookup: AWTARGET, table: windows, by: {WINDOW: window}}
  AWTDIFF: {absolute_difference: [ADY, AWTARGET]}
  DTYPE: {choose: [{}]}
  STEP: {difference: [AVAL, before], label: Change from Previous Record, type: float}
  STEPSIZE: {absolute: STEP, label: Size of the Change, type: float}
  VSSEQ: {copy: VS.VSSEQ}
  SRCSEQ: {copy: VS.VSSEQ}
working:
  window: {in_window: WINDOW, table: windows, day: ADY}
  before: {previous_value: AVAL, by: [USUBJID, PARAMCD], order: ADY, when: {DTYPE: {present: false}}, type: float}
carried_forward:
  - rule: locf
    why: An empty window takes the last analysed value
    where: {PARAMCD: SYSBP}
    by: [USUBJID, PARAMCD]
    window: window
    values: [AVAL, SRCSEQ]
    set: {DTYPE: LOCF}
averages:
  - rule: mean
    why: The mean after baseline
    where: {PARAMCD: SYSBP, ANL01FL: Y, AVISITN: {above: 0}}
    by: [USUBJID]
    set: {PARAMCD: MEANBP, AVISIT: After Baseline, AVISITN: 99, DTYPE: AVERAGE}
"""
WINDOWS = """\
WINDOW,AVISIT,AVISITN,LOW,HIGH,AWTARGET
base,Baseline,0,,1,1
one,Week 1,1,2,10,8
two,Week 2,2,11,17,15
three,Week 3,3,18,,22
"""
PARAMETERS = "PARAMCD,PARAM\nSYSBP,Systolic Blood Pressure (mmHg)\nMEANBP,Mean Systolic Blood Pressure (mmHg)\n"


@pytest.fixture
def analysed(small: SmallStudy) -> SmallStudy:
    small.change("study.yml", 'ct: "2022-09-30"', 'ct: "2022-09-30", adamig: "1.3"')
    small.drop("vitals.csv", VITALS)
    for name, content in (
        ("adam/adsl.yml", ADSL),
        ("adam/advs.yml", ADVS),
        ("tables/windows.csv", WINDOWS),
        ("tables/parameters.csv", PARAMETERS),
    ):
        small.specify(name, content)
    return small


def read(snapshot: Path) -> pd.DataFrame:
    return pq.read_table(snapshot / "adam" / "advs.parquet").to_pandas()


def test_an_empty_window_takes_the_last_analysed_value(analysed: SmallStudy) -> None:
    advs = read(analysed.run().path)
    carried = advs[advs["DTYPE"] == "LOCF"].astype({"AVISITN": int, "AVAL": int, "CHG": int, "SRCSEQ": int})
    columns = ["USUBJID", "AVISIT", "AVISITN", "AVAL", "BASE", "CHG", "ADY", "AWTARGET", "AWTDIFF", "VSSEQ", "SRCSEQ"]
    assert carried[columns].to_numpy().tolist() == [
        # The record nearest to the target has 131; the last one before the window, of day 10, describes it.
        ["SMALL-01-001", "Week 2", 2, 131, 120, 11, 10, 15, 5, 3, 2],
        ["SMALL-01-001", "Week 3", 3, 131, 120, 11, 10, 22, 12, 3, 2],
        ["SMALL-01-002", "Week 2", 2, 138, 140, -2, 8, 15, 7, 2, 2],
        # With nothing after baseline the baseline is carried.
        ["SMALL-01-003", "Week 1", 1, 118, 118, 0, -13, 8, 21, 1, 1],
        ["SMALL-01-003", "Week 2", 2, 118, 118, 0, -13, 15, 28, 1, 1],
        ["SMALL-01-003", "Week 3", 3, 118, 118, 0, -13, 22, 35, 1, 1],
    ]
    assert carried["ANL01FL"].eq("Y").all()
    assert carried["ABLFL"].isna().all()
    originals = advs[advs["DTYPE"].isna()]
    assert len(originals) == 7
    assert originals.groupby("USUBJID")["ABLFL"].count().tolist() == [1, 1, 1]


def test_an_average_is_of_observed_values_only(analysed: SmallStudy) -> None:
    advs = read(analysed.run().path)
    means = advs[advs["DTYPE"] == "AVERAGE"]
    assert means[["USUBJID", "PARAMCD", "PARAM", "AVISIT", "AVAL"]].to_numpy().tolist() == [
        ["SMALL-01-001", "MEANBP", "Mean Systolic Blood Pressure (mmHg)", "After Baseline", 131],
        ["SMALL-01-002", "MEANBP", "Mean Systolic Blood Pressure (mmHg)", "After Baseline", 134],
    ]
    assert means[["TRTP", "SAFFL"]].notna().all().all()
    assert means[["ADT", "ADY", "ABLFL", "VSSEQ", "SRCSEQ", "BASE", "CHG"]].isna().all().all()


def test_the_record_before_is_of_the_same_group_and_observed(analysed: SmallStudy) -> None:
    advs = read(analysed.run().path)
    observed = advs[advs["DTYPE"].isna()].sort_values(["USUBJID", "ADY"])
    steps = observed[["STEP", "STEPSIZE"]].fillna(0).to_numpy().tolist()
    assert steps == [[0, 0], [11, 11], [-6, 6], [0, 0], [-2, 2], [-8, 8], [0, 0]]
    assert observed["STEP"].isna().tolist() == [True, False, False, True, False, False, True]
    assert advs.loc[advs["DTYPE"].notna(), "STEP"].isna().all()


def test_added_values_lead_to_the_lines_they_are_from(analysed: SmallStudy) -> None:
    report = analysed.run()
    advs, tracer = read(report.path), Tracer(report.path)

    def lines(mask: pd.Series, variable: str = "AVAL") -> list[list[int | None]]:
        return [
            sorted({leaf.line for leaf in leaves if leaf.kind == "raw"})
            for leaves in (tracer.trace("ADVS", int(row) + 1, variable).all_leaves() for row in advs.index[mask])
        ]

    assert lines((advs["DTYPE"] == "LOCF") & (advs["USUBJID"] == "SMALL-01-001")) == [[3], [3]]
    assert lines((advs["DTYPE"] == "AVERAGE") & (advs["USUBJID"] == "SMALL-01-002")) == [[6, 7]]
    carried = advs.index[(advs["DTYPE"] == "LOCF") & (advs["USUBJID"] == "SMALL-01-001")]
    step = tracer.trace("ADVS", int(carried[0]) + 1, "AVAL")
    assert step.rule == "carried forward under the rule locf: An empty window takes the last analysed value"
    accounts = pq.read_table(report.path / "accounts.parquet").to_pandas()
    added = accounts[(accounts["dataset"] == "ADVS") & accounts["outcome"].isin(["carried_forward", "average"])]
    assert added[["outcome", "rule", "rows"]].to_numpy().tolist() == [
        ["carried_forward", "locf", 6],
        ["average", "mean", 2],
    ]


def test_a_window_that_no_rule_knows_is_a_fault(analysed: SmallStudy) -> None:
    analysed.change("adam/advs.yml", "    window: window\n", "    window: AVISIT\n")
    with pytest.raises(ConfigurationError, match="AVISIT is filled by lookup, which knows no windows"):
        analysed.load()
    analysed.change("adam/advs.yml", "    window: AVISIT\n", "    window: period\n")
    with pytest.raises(ConfigurationError, match="ADVS has no variable 'period'"):
        analysed.load()
