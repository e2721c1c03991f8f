"""Both studies against their rule books: clean extracts breach nothing, a planted fault breaches exactly its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.reference import Published
from transforms import snapshot
from transforms.core import text
from transforms.findings import Severity
from transforms.study import Study
from transforms.validation import conformance, pointblank_engine
from transforms.validation.check import SUBJECT, Breach, check, reach
from transforms.validation.outcome import Outcome
from transforms.validation.rules import RuleBook, rule_book
from transforms.warehouse import parquet

CUT_OFF = "2025-01-31"  # of both studies or later


@dataclass(frozen=True)
class Checked:
    study: Study
    path: Path
    book: RuleBook
    staged: Mapping[str, pd.DataFrame]
    sdtm: Mapping[str, pd.DataFrame]

    @classmethod
    def of(cls, study: Study, path: Path) -> Checked:
        staged = {one.stem: snapshot.staged_source(pq.read_table(one)) for one in sorted((path / "staged").iterdir())}
        sdtm = {one.stem.upper(): parquet.frame_of(pq.read_table(one)) for one in sorted((path / "sdtm").iterdir())}
        frames = {name: one.frame.assign(**{SUBJECT: one.subjects}) for name, one in staged.items()}
        return cls(study, path, rule_book(study), frames, sdtm)

    @cached_property
    def breaches(self) -> list[Breach]:
        """What the study breaches, as checked the first time."""
        return self.checked_again()

    @cached_property
    def told(self) -> Mapping[str, set[str]]:
        """The rules that each source breaches where nothing is planted, whatever is overdue."""
        found: dict[str, set[str]] = {name: set() for name in self.staged}
        for one in check(self.staged, self.book.staged):
            found[one.dataset].add(one.rule.id)
        return found

    def checked_again(self) -> list[Breach]:
        parts = ((self.staged, self.book.staged), (self.sdtm, self.book.sdtm))
        return [one for frames, rules in parts for one in check(frames, rules, CUT_OFF)]

    def reach(self) -> dict[tuple[str, str], int]:
        return {**reach(self.staged, self.book.staged, CUT_OFF), **reach(self.sdtm, self.book.sdtm, CUT_OFF)}


@pytest.fixture(scope="module")
def clean(reference: Published) -> Checked:
    return Checked.of(Study.load("ucmsc_dac"), reference.report.path)


@pytest.fixture(scope="module")
def pilot(pilot_run: Published) -> Checked:
    return Checked.of(Study.load("cdiscpilot01"), pilot_run.report.path)


def test_clean_extracts_breach_nothing_to_act_on(clean: Checked) -> None:
    found = clean.breaches
    assert [one.rule.id for one in found if one.rule.severity is not Severity.INFORMATION] == []
    # Critical values of a disease with low platelets and high ammonia: told, nothing to answer.
    # Albumin measured after drainage, and the words of criterion I04, are told as well.
    told = {"lis.critical_value", "lis.albumin_after_support", "enrol.liver_function"}
    assert {one.rule.id for one in found} == told


def test_what_the_pilot_breaches_is_true_and_one_cause_each(pilot: Checked) -> None:
    """36 events not serious that fulfil a criterion, 250 with an end date that are not resolved: so in the raw data.

    The fatal event of one subject ends the day before the date of death: so in the published data.
    """
    ae = pilot.staged["ae_raw"]
    criteria = ["AESCAN", "AESCNO", "AEDIS", "IT.AESDTH", "IT.AESHOSP", "IT.AESLIFE", "AESOD"]
    told = (ae["IT.AESER"].astype(object) == "No") & (ae[criteria].astype(object) == "Yes").any(axis=1)
    open_with_end = ae["AEOUTCOME"].astype(object).str.startswith("Not Recovered") & ae["IT.AEENDAT"].notna()
    assert [(one.rule.id, one.dataset, len(one.rows), one.rule.severity.value) for one in pilot.breaches] == [
        ("ae.criterion_without_serious", "AE", int(told.sum()), "answer"),
        ("ae.unresolved_with_end", "AE", int(open_with_end.sum()), "answer"),
        ("dm.death_dates", "DM", 1, "critical"),
    ]


def test_every_rule_has_something_to_look_at(clean: Checked, pilot: Checked) -> None:
    """A check that finds nothing to check fails; what clean extracts cannot hold is listed."""
    looked: dict[str, int] = {}
    for part in (clean, pilot):
        for (_, rule), rows in part.reach().items():
            looked[rule] = looked.get(rule, 0) + rows
    assert len(looked) > 80
    assert {rule for rule, rows in looked.items() if rows == 0} == {
        "ae_form.ongoing_with_end",
        "conmed.transfusion_without_event",
        "ctcae.class_unknown",
        "ctcae.term_unknown",
        "enrol.failed_and_eligible",
        "kps.zero_alive",
        "labedc.match_rate",
        "lis.corrected_after_board",
        "lis.possible_swap",
        "lis.specimen_changed",
        "visit.overdue",
    }


Change = Mapping[str, Any]
# A changed result or range contradicts the flag beside it; who is admitted changes who is admitted against I04.
BESIDE = {"lis.flag_missing", "lis.flag_high", "lis.flag_low", "enrol.liver_function"}


def planted(
    data: pd.DataFrame, where: Mapping[str, str], change: Change, count: int = 1
) -> tuple[pd.DataFrame, list[int]]:
    """The frame with some values changed on the first rows that hold `where`, and these rows."""
    mask = pd.Series(True, index=data.index)
    for name, value in where.items():
        mask &= data[name].astype(object) == value if value else data[name].notna()
    rows = [int(row) for row in mask.to_numpy().nonzero()[0][:count]]
    assert len(rows) == count, where
    result = data.copy()
    for name, value in change.items():
        own = result[name].astype(object).where(result[name].notna(), None)
        for row in rows:
            own.iloc[row] = value(own.iloc[row]) if callable(value) else value
        numeric = pd.api.types.is_numeric_dtype(data[name].dtype)
        result[name] = own.astype(float) if numeric else text.from_values(own)
    return result, rows


def year(years: int) -> Callable[[str], str]:
    return lambda value: f"{int(value[:4]) + years}{value[4:]}"


STAGED: list[tuple[str, Mapping[str, str], Change, str]] = [
    ("lis", {"项目代码": "CREA"}, {"结果": "1.1"}, "lis.unit_suspected"),
    ("lis", {"项目代码": "K"}, {"结果": "44"}, "lis.implausible"),
    ("lis", {"项目代码": "INR"}, {"结果": "0.1"}, "lis.implausible"),
    ("lis", {"项目代码": "GLU"}, {"结果": "2.5"}, "lis.critical_value"),
    ("lis", {"项目代码": "ALT"}, {"采集时间": year(1)}, "laboratory.received_before_collected"),
    ("lis", {"项目代码": "ALT"}, {"采集时间": year(-1)}, "laboratory.reported_late"),
    ("lis", {"项目代码": "ALT"}, {"报告时间": year(-1)}, "laboratory.reported_before_received"),
    ("lis", {"项目代码": "ALT"}, {"结果": None}, "laboratory.result_missing"),
    ("lis", {"项目代码": "ALT"}, {"参考范围": "50-9"}, "laboratory.range_order"),
    ("lis", {"项目代码": "ALT"}, {"参考范围": None}, "lis.range_missing"),
    ("lis", {"项目代码": "DBIL"}, {"结果": "900"}, "lis.direct_above_total"),
    ("lis", {"项目代码": "ALT"}, {"提示": "?"}, "lis.flag_unknown"),
    ("coa", {}, {"subj": "1001"}, "coa.subject_told"),
    ("coa", {}, {"coano": "COA-UC9912-01-R1"}, "coa.number_of_lot"),
    ("coa", {}, {"coano": "pending"}, "coa.number_unreadable"),
    ("coa", {}, {"donorid": "mother"}, "coa.donor"),
    ("coa", {}, {"visit": "DAY 1"}, "log.visit_told"),
    ("coa", {}, {"viab_pct": "979"}, "coa.viability_impossible"),
    ("coa", {}, {"viab_limit": "8"}, "coa.limit_unlikely"),
    ("coa", {}, {"passage": "40"}, "coa.passage"),
    ("coa", {}, {"endotoxin": "1.3"}, "coa.endotoxin"),
    ("coa", {}, {"endotoxin": "pending"}, "coa.endotoxin_unreadable"),
    ("coa", {}, {"identity": "DOES NOT CONFORM"}, "coa.identity"),
    ("dose", {"dose_no": "2"}, {"dose_no": "20"}, "dose.number"),
    ("dose", {"visit": "DAY 1"}, {"dose_no": "2"}, "dose.number_of_visit"),
    ("dose", {"given": "Y"}, {"reas_not_given": "ADVERSE EVENT"}, "dose.given_with_reason"),
    ("dose", {"given": "N"}, {"weight_used": "60"}, "dose.not_given_with_details"),
    ("dsmb", {"scope": "COHORT"}, {"subj": "1001"}, "dsmb.group_with_subject"),
    ("dsmb", {}, {"cutoffdat": year(-1)}, "dsmb.cut_long_before"),
    ("elig", {"iecode": "I01"}, {"iecode": "I11"}, "elig.criterion_unknown"),
    ("elig", {"iecode": "I01"}, {"iecat": "EXCLUSION"}, "elig.category_differs"),
    ("elig", {}, {"iever": "10.0"}, "elig.version_unknown"),
    ("enrol", {"cohort": "C1"}, {"sfreas": "HBV INFECTION"}, "enrol.reason_without_failure"),
    ("enrol", {"cohort": "C1"}, {"sfdat": "2022-06-20", "sfreas": "-"}, "enrol.enrolled_and_failed"),
    ("enrol", {"sfdat": ""}, {"elig_yn": "Y"}, "enrol.failed_and_eligible"),
    ("eos", {"n_attempts": ""}, {"n_attempts": "40"}, "eos.attempts_unlikely"),
    ("eos", {"eos_reason": "COMPLETED"}, {"n_attempts": "4"}, "eos.attempts_without_loss"),
    ("eos", {"eos_reason": "COMPLETED"}, {"lastcontdat": year(-1)}, "eos.contact_long_before"),
    ("eos", {"eos_reason": "DEATH"}, {"eos_status": "COMPLETED"}, "eos.completed_by_reason"),
    ("eot", {"eot_reason": "ADVERSE EVENT"}, {"eot_status": "COMPLETED"}, "eot.completed_by_reason"),
    ("ic", {"icver": "V1.0"}, {"icver": "V1.1"}, "consent.version_date"),
    ("labedc", {"lbitem": "INR"}, {"lbunit": "s"}, "labedc.ratio_with_unit"),
    ("visit", {"svoccur": "Y"}, {"svreasoc": "ADVERSE EVENT"}, "visit.reason_of_visit_made"),
    ("visit", {"visit": "DAY 8"}, {"visitnum": "40"}, "visit.number_of_name"),
    ("visit", {"visit": "SCREENING"}, {"svstdat": year(-1)}, "visit.long"),
    ("coa", {}, {"mfgdtm": year(-1)}, "coa.made_long_before"),
    ("coa", {}, {"expdtm": year(1)}, "coa.life_long"),
    ("alcohol", {"alcper": "RELAPSE"}, {"alcstdat": "2030-01-01"}, "alcohol.told_before"),
    ("proc", {"prendat": ""}, {"prendat": year(1)}, "proc.long"),
    ("visit", {"visit": "DAY 8"}, {"visitnum": "four"}, "visit.number_unreadable"),
    ("lis", {"项目代码": "IBIL"}, {"结果": "900"}, "lis.bilirubin_parts"),
    ("lis", {"项目代码": "GLOB"}, {"结果": "99"}, "lis.protein_parts"),
    ("lis", {"项目代码": "ALT"}, {"标本类型": "锟斤拷"}, "source.damaged_text"),
    ("kps", {}, {"kps_score": "55"}, "kps.score"),
    ("he", {}, {"he_grade": "GRADE 5"}, "he.grade"),
    ("meld", {}, {"meld_score": "41"}, "meld.score"),
    ("auditc", {}, {"ac_q2": "5"}, "auditc.how_many"),
    ("childpugh", {"cp_class": "C"}, {"cp_total": "15"}, "childpugh.total"),
    ("childpugh", {"cp_class": "B"}, {"cp_class": "A"}, "childpugh.class"),
    ("childpugh", {}, {"cp_class": "D"}, "childpugh.class_known"),
    ("childpugh", {"asc_txt": "Slight"}, {"asc_txt": "Absent"}, "childpugh.ascites_answer"),
    ("dose", {"given": "Y"}, {"cells_total": lambda one: str(float(one) * 1.3)}, "dose.arithmetic"),
    ("dose", {"given": "Y"}, {"infendtm": year(-1)}, "source.date_order"),
    ("dose", {"given": "Y"}, {"infstdtm": lambda one: one[:11] + "00:05"}, "dose.duration"),
    ("dose", {"given": "Y"}, {"viability_pct": "61"}, "dose.viability"),
    ("dose", {"given": "Y"}, {"lot": None}, "dose.lot_missing"),
    ("dose", {"given": "Y"}, {"infstdtm": None}, "dose.start_missing"),
    ("dose", {"given": "Y"}, {"weight_used": None}, "dose.weight_missing"),
    ("dose", {"given": "Y"}, {"cells_total": None}, "dose.cells_missing"),
    ("dose", {"given": "N"}, {"cells_total": "70"}, "dose.not_given_with_cells"),
    ("dose", {"given": "N"}, {"reas_not_given": None}, "dose.reason_missing"),
    ("dose", {"given": "N"}, {"dose_planned": "1.5"}, "dose.planned"),
    ("dose", {"interrupt_min": "20"}, {"adj_reason": None}, "dose.interruption_without_reason"),
    ("ae", {}, {"aerel": None}, "ae_form.causality_missing"),
    ("ae", {"aeendat": ""}, {"aeendat": "2026"}, "ae_form.end_without_month"),
    ("conmed", {}, {"cmtrt": "Red blood cells", "cmae_no": None}, "conmed.transfusion_without_event"),
    ("conmed", {}, {"cmtrt_zh": "悬浮红细胞", "cmae_no": None}, "conmed.transfusion_without_event"),
    ("ae", {"aerel": "很可能有关"}, {"aerelnst": "肯定有关"}, "ae_form.related_twice"),
    ("ae", {}, {"aetoxgr": None}, "ae_form.grade_missing"),
    ("ae", {"aeongo": "N", "aeout": "RECOVERED/RESOLVED"}, {"aeongo": "Y"}, "ae_form.ongoing_with_end"),
    ("ae", {"aeendat": ""}, {"aeendat": year(-1)}, "source.date_order"),
    ("visit", {"svoccur": "N"}, {"svreasoc": None}, "visit.reason_missing"),
    ("visit", {}, {"svoccur": None}, "visit.occurrence_missing"),
    ("eos", {"eos_reason": "LOST TO FOLLOW-UP"}, {"n_attempts": "2"}, "eos.attempts"),
    ("eos", {"eos_reason": "LOST TO FOLLOW-UP"}, {"n_attempts": None}, "eos.attempts_missing"),
    ("eos", {"lastcontdat": ""}, {"lastcontdat": year(1)}, "eos.contact_after_end"),
    ("enrol", {"elig_yn": "Y"}, {"enrdat": year(-1)}, "enrol.before_eligible"),
    ("enrol", {"elig_yn": "N"}, {"sfreas": None}, "enrol.failure_without_reason"),
    ("enrol", {"elig_yn": "N"}, {"cohort": "C1"}, "enrol.not_eligible_in_cohort"),
    ("eot", {}, {"n_doses": "4"}, "eot.doses"),
    ("dm", {}, {"age": "61"}, "demographics.age"),
    ("dm", {}, {"site": "02"}, "demographics.site"),
    ("dm", {}, {"subj": "9999"}, "demographics.no_consent"),
    ("ic", {}, {"icdat": None}, "consent.day_missing"),
    ("ic", {}, {"icverdat": year(1)}, "consent.before_version"),
    ("dsmb", {}, {"cutoffdat": year(1)}, "dsmb.before_cut"),
    ("vitals", {"sysbp": ""}, {"diabp": "180"}, "vital_signs.pressures_exchanged"),
    ("vitals", {}, {"vsdat": year(1)}, "form.entered_before_assessed"),
    ("vitals", {}, {"modified_ts": year(-1)}, "form.modified_before_entered"),
]


@pytest.mark.parametrize(("source", "where", "change", "rule"), STAGED, ids=[f"{one[0]}-{one[3]}" for one in STAGED])
def test_a_planted_fault_in_a_source_breaches_its_rule(
    clean: Checked, source: str, where: Mapping[str, str], change: Change, rule: str
) -> None:
    told = clean.told[source]
    data, rows = planted(clean.staged[source], where, change)
    found = check({**clean.staged, source: data}, {source: clean.book.staged[source]})
    new = [one for one in found if one.rule.id not in told or set(rows) <= set(one.rows)]
    # A wrong part breaks its ratio as well, a date far off lies outside the study, a mistyped range changes it.
    also = {
        "lis.direct_above_total": {"lis.bilirubin_parts"},
        "lis.protein_parts": {"lis.albumin_globulin_ratio"},
        "laboratory.reported_late": {"lis.outside_study"},
        "laboratory.range_order": {"lis.range_changed"},
        "elig.category_differs": {"elig.dosed_exclusion_present"},
        "form.entered_before_assessed": {"vitals.other_day"},
        "demographics.no_consent": {"demographics.number_gap"},
        "dose.number_of_visit": {"dose.order"},
        "enrol.not_eligible_in_cohort": {"enrol.enrolled_and_failed"},
        "consent.before_version": {"consent.version_date"},
        "visit.long": {"visit.screening_early"},
    }.get(rule, set())
    assert {one.rule.id for one in new} - BESIDE == {rule} | also
    new = [one for one in new if one.rule.id == rule]
    if rule not in {"lis.bilirubin_parts", "lis.protein_parts"}:  # said of the total
        assert [list(one.rows) for one in new] == [rows]


SDTM: list[tuple[str, Mapping[str, str], Change, str]] = [
    ("DM", {}, {"STUDYID": "OTHER"}, "structure.constant"),
    ("DM", {}, {"SITEID": None}, "structure.required"),
    ("DM", {}, {"SEX": "m"}, "structure.codelist"),
    ("DM", {}, {"COUNTRY": "X" * 201}, "structure.length"),
    ("DM", {}, {"BRTHDTC": "1970-13"}, "structure.iso8601"),
    ("DM", {}, {"AGE": 130}, "dm.age"),
    ("DM", {"ARMCD": ""}, {"RFICDTC": year(5)}, "dm.consent_after_exposure"),
    ("DM", {"ACTARMCD": ""}, {"RFXSTDTC": None}, "dm.arm_without_exposure"),
    ("DM", {"DTHDTC": ""}, {"DTHDTC": year(-9)}, "dm.death_before_exposure_end"),
    ("DM", {"RFENDTC": ""}, {"RFENDTC": year(-9)}, "structure.date_order"),
    ("DM", {"ARMNRS": "SCREEN FAILURE"}, {"ARMNRS": None}, "dm.arm_or_reason"),
    ("DM", {"ACTARMCD": ""}, {"ARMNRS": "NOT ASSIGNED"}, "dm.arm_and_reason"),
    ("VS", {"VSTESTCD": "PULSE"}, {"VSTEST": "Weight"}, "structure.one_to_one"),
    ("VS", {"VSTESTCD": "PULSE"}, {"VSSTRESN": 60.5}, "structure.numeric_result"),
    ("VS", {"VSTESTCD": "HEIGHT"}, {"VSSTRESC": "66", "VSSTRESN": 66}, "vs.implausible"),
    ("VS", {"VSTESTCD": "PULSE"}, {"VSSTRESU": None}, "vs.standard_unit"),
    ("VS", {}, {"VSSEQ": 9999}, "structure.sequence"),
    ("VS", {}, {"VSDY": 0}, "structure.study_day"),
    ("VS", {}, {"USUBJID": "NOBODY"}, "structure.subject_in_dm"),
    ("LB", {"LBTESTCD": "K"}, {"LBSTRESN": None}, "structure.numeric_result"),
    ("LB", {"LBTESTCD": "K"}, {"LBSTRESN": -3, "LBSTRESC": "-3"}, "lb.negative"),
    ("LB", {"LBTESTCD": "K"}, {"LBSTRESU": None}, "lb.standard_unit"),
    ("AE", {"AESER": "Y", "AESHOSP": "Y"}, {"AESER": "N"}, "ae.criterion_without_serious"),
    ("AE", {"AESER": "N"}, {"AESER": "Y"}, "ae.serious_without_criterion"),
    ("AE", {"AETOXGR": "1", "AEOUT": "RECOVERED/RESOLVED"}, {"AETOXGR": "5"}, "ae.grade_5_not_fatal"),
    ("AE", {"AEOUT": "FATAL"}, {"AETOXGR": "4"}, "ae.fatal_not_grade_5"),
    ("AE", {"AEOUT": "RECOVERED/RESOLVED"}, {"AEENDTC": None}, "ae.resolved_without_end"),
    ("AE", {"AEOUT": "RECOVERED/RESOLVED"}, {"AEOUT": "NOT RECOVERED/NOT RESOLVED"}, "ae.unresolved_with_end"),
    ("EX", {}, {"EXDOSE": -1}, "ex.dose"),
    ("EX", {}, {"EXDOSU": None}, "ex.dose_unit"),
    ("SV", {"SVOCCUR": "Y"}, {"SVSTDTC": None}, "sv.start_missing"),
    ("SV", {"SVOCCUR": "N"}, {"SVSTDTC": "2022-06-01"}, "sv.date_without_visit"),
    ("RS", {}, {"RSSTRESC": None, "RSSTRESN": None}, "findings.result_lost"),
    ("SUPPAE", {}, {"QVAL": None}, "structure.required"),
    ("SUPPAE", {}, {"QNAM": "X" * 9}, "structure.length"),
    ("SUPPAE", {}, {"QNAM": "9X"}, "structure.test_code"),
    ("SUPPAE", {}, {"QNAM": "AEOUT"}, "structure.qualifier_name"),
    ("SUPPAE", {}, {"RDOMAIN": "EX"}, "structure.constant"),
    ("SUPPAE", {}, {"IDVARVAL": "4711"}, "structure.related_record"),
    ("SUPPAE", {}, {"IDVAR": "AESPIDX"}, "structure.related_record"),
    ("SUPPDM", {}, {"USUBJID": "NOBODY"}, "structure.related_record"),
    ("VS", {}, {"VSDY": lambda one: one + 1 or 1}, "structure.study_day_of_date"),
    ("VS", {"VSDY": ""}, {"VSDTC": "2022-06"}, "structure.study_day_of_date"),
    ("AE", {"AEENDY": ""}, {"AEENDY": None}, "structure.study_day_of_date"),
    ("LB", {}, {"EPOCH": "OPEN LABEL TREATMENT"}, "structure.planned"),
    ("SE", {}, {"ETCD": "NOWHERE"}, "structure.planned"),
    ("DM", {"ACTARMCD": ""}, {"ACTARMCD": "UC99"}, "structure.planned"),
]


@pytest.mark.parametrize(("name", "where", "change", "rule"), SDTM, ids=[f"{one[0]}-{one[3]}" for one in SDTM])
def test_a_planted_fault_in_a_dataset_breaches_its_rule(
    clean: Checked, name: str, where: Mapping[str, str], change: Change, rule: str
) -> None:
    data, rows = planted(clean.sdtm[name], where, change)
    found = check({**clean.sdtm, name: data}, {name: clean.book.sdtm[name]})
    allowed = {rule}
    if "USUBJID" in change:  # the subject's numbers have a gap then, and the new one's do not begin at 1
        allowed |= {"structure.sequence", "structure.visit_in_sv"}
    if any(one.endswith("DTC") for one in change):  # the study day is that of the date it had
        allowed |= {"structure.study_day_of_date"}
    if rule == "structure.one_to_one":  # a name of another test is also a term of another concept
        allowed |= {"structure.paired_terms"}
    if "DTHDTC" in change:  # and the date of death on the other forms
        allowed |= {"dm.death_dates"}
    if {"ETCD", "ACTARMCD", "RDOMAIN"} & set(change):  # the other half of the pair, and what it points to
        allowed |= {"structure.one_to_one", "structure.related_record"}
    assert rule in {one.rule.id for one in found}
    assert {one.rule.id for one in found} <= allowed
    assert all(set(rows) & set(one.rows) for one in found if one.rule.id == rule)


def test_a_name_of_another_concept_is_found_however_consistent_it_is(clean: Checked) -> None:
    """CT 2022-09-30: PULSE is Pulse Rate (C49676), HR is Heart Rate (C49677)."""
    vs = clean.sdtm["VS"]
    pulse = int((vs["VSTESTCD"].astype(object) == "PULSE").sum())
    data, rows = planted(vs, {"VSTESTCD": "PULSE"}, {"VSTEST": "Heart Rate"}, count=pulse)
    found = check({**clean.sdtm, "VS": data}, {"VS": clean.book.sdtm["VS"]})
    assert [(one.rule.id, one.cause, list(one.rows)) for one in found] == [("structure.paired_terms", "PULSE", rows)]


def test_a_variable_that_is_not_there_is_named_and_stops_nothing(clean: Checked) -> None:
    # No rule of the study reads AESOC; one that reads a variable which is not there would say so and stop.
    found = check({**clean.sdtm, "AE": clean.sdtm["AE"].drop(columns=["AESOC", "AESEQ"])}, clean.book.sdtm)
    missing = [(one.rule.id, one.dataset, one.variable) for one in found if one.rule.id == "structure.variables"]
    assert missing == [("structure.variables", "AE", "AESEQ"), ("structure.variables", "AE", "AESOC")]


def test_a_related_record_may_stand_in_any_dataset(clean: Checked) -> None:
    """Pointers as in RELREC (SDTMIG 3.4, section 8.2): to a record, to a dataset, to nothing."""
    rule = next(one for one in clean.book.sdtm["SUPPAE"] if one.id == "structure.related_record")
    subject = str(clean.sdtm["EX"]["USUBJID"].iloc[0])
    pointers = [
        ("EX", subject, "EXSEQ", "1"),
        ("EX", subject, "EXSEQ", "99"),
        ("EX", subject, "EXNOT", "1"),
        ("XX", subject, "XXSEQ", "1"),
        ("EX", None, "EXLNKID", None),
        ("EX", None, "EXNOT", None),
        ("DM", subject, None, None),
        ("DM", "NOBODY", None, None),
    ]
    frame = pd.DataFrame(
        {
            name: text.from_values(list(values))
            for name, values in zip(
                ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL"), zip(*pointers, strict=True), strict=True
            )
        }
    )
    found = check({**clean.sdtm, "RELREC": frame}, {"RELREC": [rule]})
    assert [list(one.rows) for one in found] == [[1, 2, 3, 5, 7]]


def unexplained(checked: Checked) -> list[tuple[str, str, str]]:
    """Engine, rule and dataset of each failure without explanation."""
    rows = pq.read_table(checked.path / "results" / "conformance.parquet").to_pylist()
    return [
        (row["engine"], row["rule"], row["domain"])
        for row in rows
        if (row["outcome"] == "fail" or (row["outcome"] == "not_run" and row["rule"])) and not row["explained_by"]
    ]


def test_the_pilot_explains_every_failure_of_conformance(pilot: Checked) -> None:
    assert unexplained(pilot) == []
    rows = pq.read_table(pilot.path / "results" / "conformance.parquet").to_pylist()
    explained = {row["rule"]: row["explained_by"] for row in rows if row["explained_by"]}
    # The laboratory's units are extensions of the study's terminology; pointblank has another version.
    assert explained == {"SDTM-094": "ct_version"}


def test_the_reference_study_explains_every_failure_of_conformance(clean: Checked) -> None:
    """Without TS a package is refused (FDA 1734), so as long as the study has none the rule must say so."""
    expected = [] if "TS" in clean.sdtm else [("pointblank", "SDTM-121", "TS")]
    assert unexplained(clean) == expected


def test_all_rules_of_the_catalogue_are_told(clean: Checked) -> None:
    """362 rules, as pointblank documents its catalogue."""
    rows = pq.read_table(clean.path / "results" / "conformance.parquet").to_pylist()
    own = [row for row in rows if row["engine"] == "pointblank"]
    assert len({row["rule"] for row in own}) == 362
    assert {row["engine_version"] for row in own} == {metadata.version("pointblank")}
    assert len({(row["rule"], row["domain"], row["variable"]) for row in own}) == len(own)


TERMS = [
    ("DM", {}, {"SEX": "X"}, "SDTM-007", 1),
    ("AE", {"AEOUT": "FATAL"}, {"AEOUT": "DEAD"}, "SDTM-021", 2),
    ("EX", {}, {"EXTRT": None}, "", 1),
]


def failures(frame: pd.DataFrame, name: str) -> list[Outcome]:
    """What pointblank fails of one dataset."""
    found = pointblank_engine.run({name: parquet.table_of(frame)}, "3.4")
    return [one for one in found if one.result == "fail" and one.domain == name]


@pytest.mark.parametrize(("name", "where", "change", "rule", "count"), TERMS, ids=[str(one[2]) for one in TERMS])
def test_a_planted_fault_fails_its_rule_of_pointblank(
    clean: Checked, name: str, where: Mapping[str, str], change: Change, rule: str, count: int
) -> None:
    data, rows = planted(clean.sdtm[name], where, change, count)
    assert failures(clean.sdtm[name], name) == []
    found = failures(data, name)
    assert found
    assert rule in {"", *(one.rule for one in found)}
    assert all((one.records, one.numbers) == (count, tuple(row + 1 for row in rows)) for one in found)
    judged = conformance.judge(clean.study, {name: data}, found, ())
    assert all(one.unexplained for one in judged)


def test_a_term_in_another_case_is_caught_though_pointblank_passes_it(clean: Checked) -> None:
    data, rows = planted(clean.sdtm["AE"], {"AEOUT": "FATAL"}, {"AEOUT": "Fatal"})
    outcomes = pointblank_engine.run({"AE": parquet.table_of(data)}, "3.4")
    assert [one.result for one in outcomes if one.rule == "SDTM-021"] == ["pass"]
    rules = {"AE": [one for one in clean.book.sdtm["AE"] if one.id == "structure.codelist"]}
    assert [(one.variable, list(one.rows)) for one in check({"AE": data}, rules)] == [("AEOUT", rows)]


def test_only_terms_of_the_study_are_waived_for_another_version(pilot: Checked) -> None:
    """GI/L is an extension the pilot declares; with one undeclared unit among them nothing is waived."""
    lb = pilot.sdtm["LB"].iloc[:400].reset_index(drop=True)
    assert [one.by for one in judged_units(pilot, lb)] == ["ct_version"]
    data, _ = planted(lb, {"LBSTRESU": "GI/L"}, {"LBSTRESU": "gi/l"})
    assert [one.unexplained for one in judged_units(pilot, data)] == [True]


def judged_units(pilot: Checked, lb: pd.DataFrame) -> tuple[conformance.Judged, ...]:
    found = [one for one in failures(lb, "LB") if one.rule == "SDTM-094"]
    return conformance.judge(pilot.study, {"LB": lb}, found, ())


def test_a_record_of_a_visit_that_did_not_happen(clean: Checked) -> None:
    gone = clean.sdtm["SV"]["VISITNUM"] != 2
    found = check({**clean.sdtm, "SV": clean.sdtm["SV"][gone]}, {"VS": clean.book.sdtm["VS"]})
    assert [one.rule.id for one in found] == ["structure.visit_in_sv"]
    assert len(found[0].rows) == int((clean.sdtm["VS"]["VISITNUM"] == 2).sum())


def test_a_key_twice_is_found_unless_the_whole_record_is_there_twice(clean: Checked) -> None:
    ae = clean.sdtm["AE"]
    twice = ae.iloc[[0, 0, 1]].reset_index(drop=True)
    twice["AESEQ"] = [1.0, 2.0, 1.0]
    rules = {"AE": [one for one in clean.book.sdtm["AE"] if one.id == "structure.key"]}
    assert check({"AE": twice}, rules) == ()
    changed, _ = planted(twice, {}, {"AEOUT": "UNKNOWN"})
    assert [list(one.rows) for one in check({"AE": changed}, rules)] == [[0, 1]]


def test_unknown_terms_are_one_cause_each(clean: Checked) -> None:
    data, _ = planted(clean.sdtm["AE"], {}, {"AEOUT": "BETTER"}, count=3)
    data, _ = planted(data, {"AEOUT": "FATAL"}, {"AEOUT": "DEAD"}, count=2)
    rules = {"AE": [one for one in clean.book.sdtm["AE"] if one.id == "structure.codelist"]}
    found = check({"AE": data}, rules)
    assert sorted((one.variable, one.cause, len(one.rows)) for one in found) == [
        ("AEOUT", "BETTER", 3),
        ("AEOUT", "DEAD", 2),
    ]
    assert all(one.rule.severity is Severity.CRITICAL for one in found)


def test_the_order_of_breaches_is_that_of_the_rules(clean: Checked) -> None:
    first, second = clean.breaches, clean.checked_again()
    assert [(one.rule.id, one.dataset, one.cause, list(one.rows)) for one in first] == [
        (one.rule.id, one.dataset, one.cause, list(one.rows)) for one in second
    ]
    assert all(list(one.rows) == sorted(one.rows) for one in first)
