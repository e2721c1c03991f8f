"""Checks that look across forms: clean extracts breach none, and one or two cells changed breach the rule expected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import synthetic
from synthetic.delivery import SERIES
from tests.integration.test_validation import Change, Checked, planted, year
from tests.reference import Published
from transforms import pipeline
from transforms.findings import Severity
from transforms.study import Study
from transforms.validation.check import check

DAY_1, REPEAT = "20220620", "20220718"  # infusions of subject 1001
CUT_OFF = "2025-01-31"


@pytest.fixture(scope="module")
def clean(reference: Published) -> Checked:
    return Checked.of(Study.load("ucmsc_dac"), reference.report.path)


def first(item: str) -> Mapping[str, str]:
    return {"SUBJECT": "1001", "项目代码": item}


def of_order(day: str, item: str) -> Mapping[str, str]:
    panel = {"HGB": "H", "NEUT#": "H", "LYM#": "H", "HCT": "H", "INR": "C", "PTA": "C"}.get(item, "B")
    return {"申请单号": f"{day}1001{panel}", "项目代码": item}


STAGED: list[tuple[str, Mapping[str, str], Change, str]] = [
    ("ic", {"subj": "1001"}, {"icdat": "2022-06-20"}, "consent.after_procedure"),
    ("ic", {"subj": "1005"}, {"subj": "1099"}, "demographics.no_consent"),
    ("vitals", {"subj": "1001", "visit": "SCREENING"}, {"vsdat": "1922-06-14"}, "consent.after_procedure"),
    ("dm", {"subj": "1001"}, {"age": "40"}, "demographics.age_of_birth"),
    ("dm", {"subj": "1005"}, {"subj": "1099"}, "demographics.number_gap"),
    ("elig", {"subj": "1001", "iecode": "I03"}, {"ieresp": "N"}, "elig.dosed_inclusion_not_met"),
    ("elig", {"subj": "1001", "iecode": "E02"}, {"ieresp": "Y"}, "elig.dosed_exclusion_present"),
    ("lis", first("ALB"), {"结果": "36.0"}, "enrol.albumin_not_low"),
    ("lis", first("TBIL"), {"结果": "500"}, "enrol.bilirubin_too_high"),
    ("lis", first("PTA"), {"结果": "38"}, "enrol.prothrombin_activity_low"),
    ("dose", {"given": "Y"}, {"weight_used": lambda one: str(float(one) * 1.1)}, "dose.weight_differs"),
    ("dose", {"subj": "1001"}, {"infstdtm": "2022-10-05T10:00"}, "dose.weight_not_measured"),
    ("coa", {"lot": "UC2206-05"}, {"expdtm": "2022-06-01T10:00"}, "dose.lot_expired"),
    ("coa", {"lot": "UC2206-05"}, {"reldtm": "2022-07-01T10:00"}, "dose.lot_not_released"),
    ("coa", {}, {"viab_pct": "70"}, "coa.viability"),
    ("coa", {}, {"released": "N"}, "coa.released"),
    ("coa", {}, {"sterility": "POSITIVE"}, "coa.contaminated"),
    ("dose", {"adj_reason": "INFUSION REACTION"}, {"interrupt_min": "0"}, "dose.reason_without_interruption"),
    ("dose", {"adj_reason": "INFUSION REACTION"}, {"interrupt_min": "0"}, "ae_form.interruption_without_dose"),
    ("ae", {"aeacn": "DRUG INTERRUPTED"}, {"aeacn": "DOSE NOT CHANGED"}, "dose.interruption_without_event"),
    ("ae", {"subj": "1001"}, {"aestdat": "2022-06-15", "aerel": "可能有关"}, "ae_form.related_before_dose"),
    ("ae", {"subj": "1001"}, {"aestdat": "2024-06-15"}, "ae_form.after_end"),
    ("ae", {"subj": "1001"}, {"aestdat": "2022-06-20"}, "ae_form.onset_time_missing"),
    ("ae", {"subj": "1001"}, {"aestdat": "2023"}, "ae_form.onset_without_month"),
    ("ae", {"subj": "1001", "aecontrt": "N"}, {"aecontrt": "Y"}, "ae_form.treated_without_drug"),
    ("ae", {"aedlt": "Y"}, {"aedlt": "N"}, "ae_form.toxicity_not_flagged"),
    (
        "ae",
        {"record_id": "AE-1002-02"},
        {"ctcae_term": "Pruritus", "aestdat": "2022-08-30"},
        "ae_form.twice",
    ),
    ("sae", {}, {"ae_no": "AE-0000-01"}, "ae_form.serious_not_reported"),
    ("sae", {}, {"ae_no": "AE-0000-01"}, "sae.event_missing"),
    ("sae", {}, {"saeterm": "Headache"}, "sae.term_differs"),
    ("sae", {}, {"saestdat": year(1)}, "sae.onset_differs"),
    ("sae", {}, {"saegr": "1"}, "sae.grade_differs"),
    ("sae", {}, {"saerel": "肯定有关"}, "sae.causality_differs"),
    ("sae", {}, {"saerelnst": "肯定有关"}, "sae.other_causality_differs"),
    ("sae", {}, {"saeout": "UNKNOWN"}, "sae.outcome_differs"),
    ("sae", {}, {"saesdisab": "Y"}, "sae.reasons_differ"),
    ("sae", {}, {"saerepdtm": year(1)}, "sae.reported_late"),
    ("conmed", {"cmcat": "AE TREATMENT"}, {"cmae_no": "AE-9999-01"}, "conmed.event_unknown"),
    ("conmed", {"cmcat": "AE TREATMENT"}, {"cmae_no": None}, "conmed.event_missing"),
    ("conmed", {"record_id": "CONMED-1001-03"}, {"cmtrt": "Furosemide"}, "conmed.twice"),
    ("proc", {"prae_no": ""}, {"prae_no": "AE-9999-01"}, "proc.event_unknown"),
    ("proc", {"prcat": "RENAL REPLACEMENT"}, {"prae_no": None}, "proc.renal_replacement_without_event"),
    ("eos", {"eos_reason": "LIVER TRANSPLANT"}, {"eos_reason": "COMPLETED"}, "proc.transplant_without_end"),
    ("meld", {"meld_score": "14"}, {"meld_score": "17"}, "meld.recomputed"),
    ("meld", {"meld_score": "14"}, {"meld_score": "8"}, "meld.aetiology"),
    ("childpugh", {"subj": "1001"}, {"bili_pts": "1"}, "childpugh.bilirubin_laboratory"),
    ("childpugh", {"subj": "1001"}, {"alb_pts": "3"}, "childpugh.albumin_laboratory"),
    ("childpugh", {"subj": "1001"}, {"inr_pts": "3"}, "childpugh.inr_laboratory"),
    ("he", {"he_grade": "GRADE 0"}, {"he_grade": "GRADE 2"}, "he.childpugh"),
    ("kps", {}, {"kps_score": "0"}, "kps.zero_alive"),
    ("visit", {"subj": "1001", "visit": "DAY 8"}, {"svstdat": "2022-07-05"}, "visit.out_of_window"),
    ("visit", {"subj": "1001", "visit": "SCREENING"}, {"svstdat": "2022-05-01"}, "visit.screening_early"),
    ("visit", {"subj": "1001", "visit": "DAY 15"}, {"svstdat": "2022-06-24"}, "visit.order"),
    ("visit", {"subj": "1001", "visit": "DAY 8"}, {"visit": "UNSCHEDULED"}, "visit.not_in_log"),
    ("vitals", {"subj": "1001", "visit": "DAY 8"}, {"vsdat": year(-1)}, "vitals.other_day"),
    ("childpugh", {"subj": "1001", "visit": "DAY 22"}, {"cpdat": year(-1)}, "childpugh.other_day"),
    ("kps", {"subj": "1001", "visit": "DAY 22"}, {"kpsdat": year(-1)}, "kps.other_day"),
    ("he", {"subj": "1001", "visit": "DAY 22"}, {"hedat": year(-1)}, "he.other_day"),
    ("meld", {"subj": "1001", "visit": "DAY 22"}, {"melddat": year(-1)}, "meld.other_day"),
    ("auditc", {"subj": "1001", "visit": "MONTH 3"}, {"acdat": year(-1)}, "auditc.other_day"),
    ("visit", {"subj": "1001", "visit": "MONTH 12"}, {"svstdat": "2024-01-01"}, "visit.after_end"),
    ("visit", {"subj": "1001", "visit": "MONTH 12"}, {"visit": "MONTH 6"}, "eos.completed_without_month_12"),
    ("eos", {"subj": "1001"}, {"subj": "0000"}, "visit.overdue"),
    ("death", {}, {"subj": "0000"}, "eos.death_without_form"),
    ("eos", {"eos_reason": "DEATH"}, {"eos_reason": "COMPLETED"}, "death.without_end"),
    ("auditc", {"subj": "1002", "visit": "MONTH 3"}, {"ac_q1": "2"}, "auditc.drinking_not_told"),
    ("auditc", {"subj": "1001", "visit": "MONTH 12"}, {"ac_q1": "0"}, "alcohol.relapse_without_points"),
    ("lis", first("ALB"), {"采集时间": year(-1)}, "labedc.not_in_laboratory"),
    ("labedc", {"subj": "1001"}, {"subj": "1099"}, "labedc.subject_not_in_laboratory"),
    ("labedc", {"subj": "1001", "lbitem": "ALB"}, {"lbitem": "AST"}, "lis.not_on_page"),
    ("labedc", {"lbitem": "CREA"}, {"lbunit": "mg/dL"}, "labedc.unit_differs"),
    ("labedc", {"lbitem": "PLT"}, {"lbval": "500"}, "labedc.value_differs"),
    ("labedc", {"visit": "EARLY TERMINATION"}, {"lbval": "999"}, "labedc.match_rate"),
    ("lis", of_order(DAY_1, "K"), {"结果": "8.5"}, "lis.delta"),
    ("lis", of_order(DAY_1, "A/G"), {"结果": "9"}, "lis.albumin_globulin_ratio"),
    ("lis", of_order(DAY_1, "NEUT#"), {"结果": "99"}, "lis.neutrophil_share"),
    ("lis", of_order(DAY_1, "LYM#"), {"结果": "99"}, "lis.lymphocyte_share"),
    ("lis", of_order(DAY_1, "HCT"), {"结果": "60"}, "lis.haematocrit_haemoglobin"),
    ("lis", of_order(DAY_1, "INR"), {"结果": "5"}, "lis.inr_prothrombin_time"),
    ("lis", of_order(DAY_1, "PTA"), {"结果": "5"}, "lis.prothrombin_activity"),
    ("lis", of_order(DAY_1, "NA"), {"结果": "170"}, "lis.sodium_chloride_gap"),
    ("lis", of_order(DAY_1, "ALT"), {"参考范围": "9-60"}, "lis.range_changed"),
    ("lis", {"性别": "男"}, {"性别": "女"}, "lis.sex_differs"),
    ("dose", {"subj": "1001", "dose_no": "1"}, {"dose_no": "3"}, "dose.order"),
    ("dose", {"subj": "1001", "dose_no": "2"}, {"subj": "1003"}, "dose.not_enrolled"),
    ("dose", {"subj": "1001", "dose_no": "2"}, {"infstdtm": "2022-06-20T10:15"}, "dose.twice"),
    ("dose", {"given": "Y"}, {"volume_ml": "1000"}, "dose.volume"),
    ("mh", {"subj": "1001"}, {"mhstdat": "2022-07"}, "mh.after_consent"),
    ("mh", {"subj": "1001", "mhongo": "N"}, {"mhstdat": "2022-05", "mhendat": "2022-04"}, "source.date_order"),
    ("mh", {"subj": "1001", "mhongo": "N"}, {"mhongo": "Y"}, "course.ongoing_with_end"),
    ("elig", {"subj": "1002"}, {"iedat": "2022-06-23"}, "elig.after_enrolment"),
    ("coa", {}, {"expdtm": "2020-01-01T00:00"}, "coa.dates"),
    ("conmed", {"cmtrt": "Furosemide"}, {"cmdose": "4000"}, "conmed.dose_unlikely"),
    ("conmed", {"cmtrt": "Furosemide"}, {"cmdosu": "g"}, "conmed.dose_unit"),
    ("alcohol", {}, {"alcgday": "3000"}, "alcohol.amount"),
    ("proc", {"prvol_ml": ""}, {"prvol_ml": "22000"}, "proc.volume"),
    ("eot", {"n_doses": "3"}, {"n_doses": "2"}, "eot.doses_given"),
    ("vitals", {"subj": "1001", "visit": "DAY 1"}, {"weight_kg": "161.2"}, "vitals.weight_change"),
    ("labedc", {"subj": "1001", "visit": "SCREENING"}, {"visit": "MONTH 1"}, "labedc.other_day"),
    ("labedc", {"subj": "1001", "visit": "SCREENING"}, {"visit": "MONTH 9"}, "labedc.visit_not_logged"),
    (
        "ae",
        {"record_id": "AE-1002-02"},
        {"ctcae_term": "Pruritus", "aestdat": "2022-08-31"},
        "ae_form.overlaps",
    ),
    ("lis", first("ALT"), {"项目名称": "天门冬氨酸氨基转移酶"}, "lis.name_of_other_item"),
    ("lis", first("ALT"), {"标本类型": "全血"}, "lis.specimen_changed"),
    ("lis", first("ALT"), {"年龄": "54岁"}, "lis.age_differs"),
    ("lis", first("ALT"), {"年龄": "50"}, "lis.age_differs"),
    ("dm", {"subj": "1001"}, {"brthym": "1967-11"}, "lis.age_differs"),
    ("lis", first("ALT"), {"年龄": "3月"}, "lis.age_unreadable"),
    ("lis", first("ALT"), {"采集时间": year(-1)}, "lis.outside_study"),
    ("lis", first("ALT"), {"corrected": "Y", "报告时间": "2024-01-01T10:00"}, "lis.corrected_after_board"),
    ("lis", of_order(DAY_1, "K"), {"结果": "5.9", "提示": None}, "lis.flag_missing"),
    ("lis", of_order(DAY_1, "K"), {"结果": "4.1", "提示": "↑"}, "lis.flag_high"),
    ("lis", of_order(DAY_1, "K"), {"结果": "5.9", "提示": "↓"}, "lis.flag_low"),
    ("lis", of_order(REPEAT, "K"), {"结果": "6.5"}, "lis.critical_without_event"),
    ("conmed", {"subj": "1001", "cmcat": "ALBUMIN"}, {"cmstdat": "2022-06-18"}, "lis.albumin_after_support"),
    ("ae", {"subj": "1001"}, {"ctcae_term": "Anemia", "aestdat": "2023-12-24"}, "ae_form.laboratory_missing"),
    ("dose", {"subj": "1001"}, {"infstdtm": "2024-10-05T10:00"}, "dose.after_end"),
    ("dose", {"subj": "1001"}, {"given": None}, "dose.given_missing"),
    ("kps", {"kps_score": "80"}, {"kps_txt": "Dead"}, "kps.text"),
    ("childpugh", {"he_txt": "None"}, {"he_txt": "3-4"}, "childpugh.encephalopathy_unknown"),
    ("childpugh", {"asc_txt": "Slight"}, {"asc_txt": "Mild"}, "childpugh.ascites_unknown"),
    ("childpugh", {"bili_txt": "34-51"}, {"bili_txt": "2-3 mg/dL"}, "childpugh.bilirubin_unknown"),
    ("childpugh", {"alb_txt": "28-35"}, {"alb_txt": "2.8-3.5"}, "childpugh.albumin_unknown"),
    ("childpugh", {"inr_txt": "<1.7"}, {"inr_txt": "4-6 s"}, "childpugh.inr_unknown"),
    ("conmed", {"cmcat": "DIURETIC"}, {"cmmh_no": "MH-9999-01"}, "conmed.condition_unknown"),
    ("proc", {"prae_no": ""}, {"prmh_no": "MH-9999-01"}, "proc.condition_unknown"),
    ("enrol", {"sfdat": ""}, {"sfdat": year(-1)}, "enrol.failure_long_after"),
    ("ic", {"subj": "1001"}, {"icdat": year(-1)}, "consent.long_before_visit"),
    ("lis", first("ALT"), {"条码号": "1"}, "lis.several_barcodes"),
    ("lis", first("ALT"), {"申请单号": "1"}, "lis.several_orders"),
    ("alcohol", {"alcper": "HISTORY"}, {"alcdat": year(-1)}, "alcohol.before_consent"),
    ("alcohol", {"alcper": "RELAPSE"}, {"alcstdat": year(-2)}, "alcohol.relapse_before_consent"),
    ("dv", {}, {"dvstdat": year(-1)}, "deviation.before_consent"),
    ("elig", {"subj": "1001"}, {"iedat": year(-1)}, "elig.before_consent"),
    ("enrol", {"eligdat": ""}, {"eligdat": year(-1)}, "enrol.decided_before_consent"),
    ("conmed", {"cmcat": "AE TREATMENT"}, {"cmstdat": year(-1)}, "conmed.before_event"),
    ("proc", {"prae_no": ""}, {"prstdat": year(-1)}, "proc.before_event"),
    ("proc", {"prae_no": ""}, {"prstdat": year(-3)}, "proc.before_consent"),
    ("conmed", {"cmcat": "PREMEDICATION"}, {"cmstdat": year(-1)}, "conmed.premedication_without_infusion"),
    ("eot", {"eot_reason": "COMPLETED"}, {"eotdat": year(-1)}, "eot.before_last_infusion"),
    ("eot", {"eot_reason": "COMPLETED"}, {"eotdat": year(1)}, "eot.completed_long_after"),
    ("sae", {"saeendat": ""}, {"saeendat": year(-1)}, "sae.end_differs"),
    ("lis", of_order(REPEAT, "HGB"), {"结果": "60"}, "lis.low_without_event"),
    ("lis", of_order(REPEAT, "AST"), {"结果": "900"}, "lis.high_without_event"),
]
SEVERAL: list[tuple[str, Mapping[str, str], Change, int, str]] = [
    ("vitals", {"subj": "1001"}, {"vsdat": "2022-06-14", "vstim": "08:00", "vstpt": None}, 2, "vitals.twice"),
    (
        "lis",
        {"申请单号": f"{DAY_1}1001H"},
        {"结果": lambda one: str(float(one) * 1.8)},
        12,
        "lis.possible_swap",
    ),
]
SDTM: list[tuple[str, Mapping[str, str], Change, str]] = [
    ("DM", {"DTHDTC": ""}, {"DTHDTC": year(-1)}, "dm.death_dates"),
    ("AE", {"AEOUT": "FATAL"}, {"AEOUT": "RECOVERED/RESOLVED"}, "dm.death_without_event"),
    ("DM", {"DTHFL": "Y"}, {"DTHFL": None}, "ae.fatal_subject_alive"),
    ("AE", {}, {"AESTDTC": year(-3)}, "ae.before_consent"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEDECOD": "Pyrexia"}, "ctcae.term_unknown"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEDECOD": lambda one: one.lower()}, "ctcae.term_spelling"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEBODSYS": "Social circumstances"}, "ctcae.class_differs"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEBODSYS": lambda one: one.upper()}, "ctcae.class_differs"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEBODSYS": None}, "ctcae.class_differs"),
    ("AE", {"AESPID": "AE-1002-02"}, {"AEDECOD": "Pyrexia", "AEBODSYS": "Fevers"}, "ctcae.class_unknown"),
    ("LB", {"USUBJID": "UCMSC-DAC-01-01-1019"}, {"LBDTC": "2023-07-11"}, "findings.after_death"),
    ("SV", {"USUBJID": "UCMSC-DAC-01-01-1019"}, {"SVSTDTC": "2023-07-11"}, "sv.after_death"),
]
PLANTED = [(level, name, where, change, 1, rule) for level, part in (("staged", STAGED), ("sdtm", SDTM))
           for name, where, change, rule in part] + [("staged", *one) for one in SEVERAL]  # fmt: skip


@pytest.mark.parametrize(("level", "name", "where", "change", "count", "rule"), PLANTED,
                         ids=[f"{one[1]}-{one[5]}" for one in PLANTED])  # fmt: skip
def test_a_planted_fault_is_one_finding_of_its_rule(
    clean: Checked, level: str, name: str, where: Mapping[str, str], change: Change, count: int, rule: str
) -> None:
    frames, book = (clean.staged, clean.book.staged) if level == "staged" else (clean.sdtm, clean.book.sdtm)
    rules = {one: own for one, all_rules in book.items() if (own := [each for each in all_rules if each.id == rule])}
    told = {one.cause for one in check(frames, rules, CUT_OFF)}
    data, _ = planted(frames[name], where, change, count)
    found = [one for one in check({**frames, name: data}, rules, CUT_OFF) if one.cause not in told]
    assert [one.rule.id for one in found] == [rule]
    assert len(found[0].rows)


@pytest.mark.parametrize("printed", ["51岁", "53周岁", "52 Y", "52"])
def test_an_age_a_year_off_is_a_way_of_counting(clean: Checked, printed: str) -> None:
    """Subject 1001, born in November 1969, is 52 in June 2022."""
    rules = {"lis": [one for one in clean.book.staged["lis"] if one.id.startswith("lis.age_")]}
    data, _ = planted(clean.staged["lis"], first("ALT"), {"年龄": printed}, 1)
    assert len(rules["lis"]) == 2 and check({**clean.staged, "lis": data}, rules, CUT_OFF) == ()


def test_every_rule_across_forms_is_planted(clean: Checked) -> None:
    """What looks into another frame, or at the row before, has its fault above; of ADaM in unit/test_adam_checks.py."""
    words = {"fetch", "count", "previous", "score", "toxicity"}
    across = {
        one.id
        for one in clean.book.rules()
        if not one.id.startswith("structure.")
        and any(type(each).word in words for each in one.columns.values())
        and (one.id.split(".")[0] not in {"adsl", "bds", "occds", "tte", "adae", "adtte"})
    }
    assert across <= {one[5] for one in PLANTED} | {"adam.subject_in_adsl", "enrol.liver_function"}


def test_who_is_admitted_against_the_words_of_a_criterion_is_told_once(clean: Checked) -> None:
    """Criterion I04, Child-Pugh A or MELD below 12, worked out with pandas; it is true of sound extracts too."""
    rules = {"enrol": [one for one in clean.book.staged["enrol"] if one.id == "enrol.liver_function"]}
    (found,) = check(clean.staged, rules, CUT_OFF)
    assert found.rule.severity is Severity.INFORMATION
    screened = {}
    for form, column in (("childpugh", "cp_class"), ("meld", "meld_score")):
        frame = clean.staged[form].astype(object)
        screened[form] = frame[frame["visit"] == "SCREENING"].set_index("subj")[column]
    enrol = clean.staged["enrol"].astype(object)
    admitted = enrol[enrol["cohort"].notna()]["subj"]
    against = [one for one in admitted if screened["childpugh"][one] != "A" and int(screened["meld"][one]) >= 12]
    assert len(against) > 20
    assert enrol["subj"].iloc[list(found.rows)].tolist() == against


def test_clean_extracts_of_every_cut_ask_nothing(clean_runs: Mapping[str, Published]) -> None:
    """Four cumulative cuts in one home: nothing critical and nothing to answer, whatever is not entered yet."""
    assert list(clean_runs) == ["S1", "S2", "S3", "S4"]
    for cut, one in clean_runs.items():
        report = one.report
        assert {severity: report.findings[severity.value] for severity in (Severity.CRITICAL, Severity.ANSWER)} == {
            Severity.CRITICAL: 0,
            Severity.ANSWER: 0,
        }, cut


@pytest.mark.parametrize(("seed", "cut"), [(31, "S1"), (99, "S2")])
def test_clean_extracts_of_other_seeds_ask_nothing(seed: int, cut: str, tmp_path: Path) -> None:
    """Forms that came before the visit log, forms without a row so far, ammonia near its critical value."""
    synthetic.generate(tmp_path / "landing", seed=seed, cut_off=SERIES[cut])
    report = pipeline.run(Study.load("ucmsc_dac"), landing=tmp_path / "landing", home=tmp_path / "home")
    assert {severity: report.findings[severity.value] for severity in (Severity.CRITICAL, Severity.ANSWER)} == {
        Severity.CRITICAL: 0,
        Severity.ANSWER: 0,
    }
