"""Vectors of the published scores and grades, laid down as laboratory and form records and read back from ADaM."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_sdtm import FIRST_DOSE, day, derive, end_of_treatment, infusion, plain, result, subject
from transforms.study import Study

# Bilirubin, INR, creatinine, sodium, albumin, sex, dialysis: MELD(i) raw, MELD, MELD-Na, MELD 3.0, with aetiology.
# Computed with the published formulas outside this project.
MELD = {
    "M1": (20, 1.1, 70, 140, 38, "M", False, 8.0896, 8, 8, 8, 6),
    "M2": (34.2, 1.35, 76, 136, 32, "M", False, 12.4113, 12, 13, 13, 6),
    "M3": (58, 1.62, 92, 133, 28, "M", False, 16.8319, 17, 20, 20, 10),
    "M4": (96, 1.85, 110, 129, 26, "M", False, 21.9337, 22, 27, 26, 16),
    "M5": (210, 2.4, 168, 124, 22, "M", False, 31.8604, 32, 35, 36, 25),
    "M6": (17.1, 1.0, 88.4, 137, 35, "M", False, 6.4300, 6, 6, 6, 6),
    "M7": (12, 0.95, 55, 142, 41, "F", False, 6.4300, 6, 6, 7, 6),
    "M8": (58, 1.62, 92, 133, 28, "F", False, 16.8319, 17, 20, 21, 10),
    "M9": (150, 2.1, 380, 131, 24, "M", False, 36.2150, 36, 37, 37, 30),
    "M10": (150, 2.1, 140, 131, 24, "M", True, 36.2150, 36, 37, 37, 30),
    "M11": (420, 4.2, 450, 126, 18, "F", False, 47.8702, 40, 40, 40, 40),
    "M12": (41.04, 1.5, 88.4, 138, 30, "M", False, 14.2805, 14, 14, 15, 8),
    "M13": (37, 1.28, 71, 128, 31, "M", False, 12.1124, 12, 20, 18, 6),
    "M14": (34.2, 1.2, 88.4, 128, 32, "M", False, 11.0921, 11, 11, 17, 6),
}
# Bilirubin, albumin, INR, ascites, West Haven grade: total and class with SI cut-offs (those with PT seconds left out).
CHILD_PUGH = {
    "C1": (20, 38, 1.2, "Absent", 0, 5, "A"),
    "C2": (33.9, 35.1, 1.69, "Slight", 0, 6, "A"),
    "C3": (34, 35, 1.7, "Slight", 1, 10, "C"),
    "C4": (51, 28, 2.3, "Slight", 2, 10, "C"),
    "C5": (51.2, 28, 2.3, "Slight", 2, 11, "C"),
    "C6": (51.1, 27.9, 2.31, "Moderate", 3, 15, "C"),
    "C7": (34.1, 30, 1.45, "Moderate", 0, 9, "B"),
    "C10": (25, 33, 1.4, "Absent", 0, 6, "A"),
    "C11": (180, 24, 2.6, "Moderate", 4, 15, "C"),
    "C12": (45, 31, 1.62, "Slight", 0, 8, "B"),
}
# Bilirubin, albumin: score at 4 decimals and grade.
ALBI = {
    "A1": (10, 45, -3.1650, 1),
    "A2": (17, 42, -2.7579, 1),
    "A3": (20, 35, -2.1163, 2),
    "A4": (34, 32, -1.7092, 2),
    "A5": (58, 28, -1.2161, 3),
    "A6": (96, 26, -0.9017, 3),
    "A7": (210, 22, -0.3373, 3),
    "A8": (17.1, 40, -2.5862, 2),
    "A9": (12, 38.2, -2.5347, 2),
    "A10": (25, 26.7, -1.3469, 3),
}
# Creatinine, age, sex: CKD-EPI 2021.
EGFR = {
    "E1": (70, 50, "M", 108.150),
    "E2": (88.4, 50, "M", 91.691),
    "E3": (62, 45, "F", 108.371),
    "E4": (53, 58, "F", 103.998),
    "E5": (110, 59, "M", 66.695),
    "E6": (168, 55, "M", 41.133),
    "E7": (380, 48, "M", 16.134),
    "E8": (79.56, 40, "M", 110.726),
    "E9": (61.88, 40, "F", 112.054),
    "E10": (45, 30, "F", 128.759),
}
# Test, value, limits, baseline (None: none), direction: grade.
GRADES = [
    ("ALT", 45, None, 50, 40, "H", 0),
    ("ALT", 150, None, 50, 40, "H", 1),
    ("ALT", 151, None, 50, 40, "H", 2),
    ("ALT", 120, None, 50, 100, "H", 0),
    ("ALT", 149, None, 50, 100, "H", 0),
    ("ALT", 150, None, 50, 100, "H", 1),
    ("ALT", 301, None, 50, 100, "H", 2),
    ("BILI", 58, None, 26, 58, "H", 0),
    ("BILI", 60, None, 26, 58, "H", 1),
    ("BILI", 88, None, 26, 58, "H", 2),
    ("BILI", 40, None, 26, 20, "H", 2),
    ("BILI", 262, None, 26, 20, "H", 4),
    ("ALP", 259, None, 125, 130, "H", 0),
    ("ALP", 260, None, 125, 130, "H", 1),
    ("CREAT", 98, None, 97, 70, "H", 1),
    ("CREAT", 105, None, 97, 70, "H", 1),
    ("CREAT", 106, None, 97, 70, "H", 2),
    ("CREAT", 211, None, 97, 70, "H", 3),
    ("CREAT", 600, None, 97, 70, "H", 4),
    ("PLAT", 124, 125, None, None, "L", 1),
    ("PLAT", 75, 125, None, None, "L", 1),
    ("PLAT", 74, 125, None, None, "L", 2),
    ("PLAT", 49, 125, None, None, "L", 3),
    ("PLAT", 24, 125, None, None, "L", 4),
    ("ALB", 39, 40, None, None, "L", 1),
    ("ALB", 30, 40, None, None, "L", 1),
    ("ALB", 29.9, 40, None, None, "L", 2),
    ("ALB", 19, 40, None, None, "L", 3),
    ("HGB", 129, 130, None, None, "L", 1),
    ("HGB", 79, 130, None, None, "L", 3),
    ("NEUT", 1.2, 1.8, None, None, "L", 2),
    ("WBC", 2.5, 3.5, None, None, "L", 2),
]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.load("ucmsc_dac")


def test_meld_family(study: Study) -> None:
    records: dict[str, list[dict[str, Any]]] = {"DM": [], "EX": [], "DS": [], "LB": [], "PR": []}
    for number, (bili, inr, creat, sodium, alb, sex, dialysed, *_) in MELD.items():
        records["DM"].append(subject(number, SEX=sex))
        records["EX"].append(infusion(number))
        records["DS"].append(end_of_treatment(number))
        tests = {"BILI": bili, "CREAT": creat, "SODIUM": sodium, "ALB": alb, "INR": inr}
        records["LB"] += [result(test, value, day(0, "T08:00"), number) for test, value in tests.items()]
        if dialysed:
            records["PR"].append(
                {"USUBJID": number, "PRTRT": "X", "PRCAT": "RENAL REPLACEMENT", "PRSTDTC": "2022-06-24"}
            )
    derived = derive(study, records, "ADEFF", "ADSL")
    adeff = plain(derived, "ADEFF").set_index(["USUBJID", "PARAMCD"])
    adsl = plain(derived, "ADSL").set_index("USUBJID")
    for number, (*_, raw, meld, meld_na, meld_3, etiology) in MELD.items():
        found = adeff.loc[number]["AVAL"]
        assert round(found["MELDRAW"], 4) == raw, number
        assert found[["MELD", "MELDNA", "MELD3", "MELDETI"]].tolist() == [meld, meld_na, meld_3, etiology], number
        assert adsl.loc[number, ["MELDBL", "MELDNABL"]].tolist() == [meld, meld_na], number
    groups = {"M1": "<10", "M2": "10-14", "M3": "15-19", "M4": ">=20"}
    assert {number: adsl.loc[number, "MELDBLG1"] for number in groups} == groups
    assert adeff.xs("MELD", level="PARAMCD")["DIALFL"].dropna().to_dict() == {"M10": "Y"}


def test_child_pugh_recomputed_agrees_or_says_so(study: Study) -> None:
    records: dict[str, list[dict[str, Any]]] = {"DM": [], "EX": [], "DS": [], "LB": [], "RS": []}
    for number, (bili, alb, inr, ascites, grade, total, letter) in CHILD_PUGH.items():
        records["DM"].append(subject(number))
        records["EX"].append(infusion(number))
        records["DS"].append(end_of_treatment(number))
        records["LB"] += [
            result(test, value, day(-3), number) for test, value in (("BILI", bili), ("ALB", alb), ("INR", inr))
        ]
        # The form of C12 has a total that its items do not give.
        written = total + 1 if number == "C12" else total
        form = {"USUBJID": number, "RSDTC": day(0, ""), "VISIT": "DAY 1", "VISITNUM": 2, "RSGRPID": number}
        records["RS"] += [
            form | {"RSTESTCD": "CPS0102", "RSORRES": ascites, "RSSTRESC": "1", "RSSTRESN": 1},
            form | {"RSTESTCD": "CPS0106", "RSORRES": str(written), "RSSTRESC": str(written), "RSSTRESN": written},
            form | {"RSTESTCD": "CPS0107", "RSORRES": letter, "RSSTRESC": letter},
            form | {"RSTESTCD": "WHEG0101", "RSORRES": f"GRADE {grade}", "RSSTRESC": f"GRADE {grade}"},
        ]
    adeff = plain(derive(study, records, "ADEFF"), "ADEFF").set_index(["USUBJID", "PARAMCD"])
    for number, (*_, grade, total, letter) in CHILD_PUGH.items():
        rows = adeff.loc[number]
        assert rows.loc["CPTOTD", "AVAL"] == total, number
        assert rows.loc["CPCLSD", "AVALC"] == letter, number
        assert rows.loc["CPCLSD", "AVAL"] == "ABC".index(letter) + 1, number
        assert rows.loc["CPCLS", ["AVAL", "AVALC"]].tolist() == ["ABC".index(letter) + 1, letter], number
        assert rows.loc["WHEG", "AVAL"] == grade, number
        assert rows.loc["CPTOTD", "AGREEFL"] == ("N" if number == "C12" else "Y"), number
        assert rows.loc["CPCLSD", "AGREEFL"] == "Y", number
        assert set(rows["ABLFL"]) == {"Y"}, "forms of day 1 are completed before the infusion"


def test_a_text_that_no_score_knows_is_asked_about_and_stops_nothing(study: Study) -> None:
    records: dict[str, list[dict[str, Any]]] = {"DM": [], "EX": [], "LB": [], "RS": []}
    for number, ascites in {"1001": "slight", "1002": "QQQ"}.items():
        records["DM"].append(subject(number))
        records["EX"].append(infusion(number))
        records["LB"] += [
            result(test, value, day(0), number) for test, value in {"BILI": 45, "ALB": 31, "INR": 1.62}.items()
        ]
        form = {"USUBJID": number, "RSDTC": day(0, ""), "VISIT": "DAY 1", "VISITNUM": 2, "RSGRPID": number}
        records["RS"] += [
            form | {"RSTESTCD": "CPS0102", "RSORRES": ascites, "RSSTRESC": "2", "RSSTRESN": 2},
            form | {"RSTESTCD": "CPS0106", "RSORRES": "8", "RSSTRESC": "8", "RSSTRESN": 8},
            form | {"RSTESTCD": "WHEG0101", "RSORRES": "GRADE 0", "RSSTRESC": "GRADE 0"},
        ]
    derived = derive(study, records, "ADEFF")
    totals = plain(derived, "ADEFF").query("PARAMCD == 'CPTOTD'").set_index("USUBJID")["AVAL"]
    assert totals.to_dict() == {"1001": CHILD_PUGH["C12"][5]}
    told = [one for one in derived.findings if one.rule == "score_input_unknown"]
    assert [(one.dataset, one.variable) for one in told] == [("ADEFF", "cp_total")]
    assert "ascites" in told[0].message and "1002" in told[0].message and "1001" not in told[0].message
    assert "QQQ" not in told[0].message, "never collected text"


def test_a_unit_that_no_criterion_knows_is_asked_about_and_stops_nothing(study: Study) -> None:
    other = result("HGB", 79, day(7), low=130) | {"LBSTRESU": "furlong"}
    records = {"DM": [subject()], "EX": [infusion()], "LB": [other, result("HGB", 79, day(8), low=130)]}
    derived = derive(study, records, "ADLB")
    grades = plain(derived, "ADLB").query("PARAMCD == 'HGB' and DTYPE.isna()", engine="python")
    assert grades.sort_values("ADT")["ATOXGRL"].tolist() == [None, "3"]
    told = {(one.dataset, one.variable) for one in derived.findings if one.rule == "score_input_unknown"}
    assert told == {("ADLB", "grade_low")}


def test_albi(study: Study) -> None:
    records = {
        "DM": [subject(number) for number in ALBI],
        "EX": [infusion(number) for number in ALBI],
        "LB": [
            result(test, value, day(0), number)
            for number, (bili, alb, *_) in ALBI.items()
            for test, value in (("BILI", bili), ("ALB", alb))
        ],
    }
    derived = derive(study, records, "ADEFF", "ADSL")
    adeff = plain(derived, "ADEFF").set_index(["USUBJID", "PARAMCD"])["AVAL"]
    adsl = plain(derived, "ADSL").set_index("USUBJID")
    for number, (*_, score, grade) in ALBI.items():
        assert round(adeff[number]["ALBI"], 4) == score, number
        assert adeff[number]["ALBIGR"] == grade == adsl.loc[number, "ALBIGRBL"], number


def test_egfr_uses_the_age_on_the_day_of_the_sample(study: Study) -> None:
    # Born in July: the whole years of the sample in July 2022 are the vector's age, at consent in June one less.
    records = {
        "DM": [
            subject(number, SEX=sex, AGE=age - 1, BRTHDTC=f"{2022 - age}-07")
            for number, (_, age, sex, _) in EGFR.items()
        ],
        "EX": [infusion(number) for number in EGFR],
        "LB": [result("CREAT", creat, day(0), number) for number, (creat, *_) in EGFR.items()],
    }
    adlb = plain(derive(study, records, "ADLB"), "ADLB")
    rows = adlb[adlb["PARAMCD"] == "EGFRCKD"].set_index("USUBJID")
    for number, (*_, rate) in EGFR.items():
        assert abs(rows.loc[number, "AVAL"] - rate) <= 0.0005 + 1e-9, number
    assert set(rows["PARAMTYP"]) == {"DERIVED"}
    assert rows["ANRHI"].isna().all()


def test_toxicity_grades_shifts_and_worst_records(study: Study) -> None:
    numbers = [f"T{number:02d}" for number in range(len(GRADES))]
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [subject(number) for number in numbers],
        "EX": [infusion(number) for number in numbers],
        "LB": [],
    }
    for number, (test, value, low, high, base, _, _) in zip(numbers, GRADES, strict=True):
        if base is not None:
            records["LB"].append(result(test, base, day(0), number, low=low, high=high))
        records["LB"].append(result(test, value, day(7), number, low=low, high=high))
    adlb = plain(derive(study, records, "ADLB"), "ADLB")
    adlb = adlb[adlb["PARAMTYP"].isna()]
    after = adlb[(adlb["ADY"] == 8) & adlb["DTYPE"].isna()].set_index("USUBJID")
    for number, (test, value, _, _, base, direction, grade) in zip(numbers, GRADES, strict=True):
        row = after.loc[number]
        assert row[f"ATOXGR{direction}"] == str(grade), (test, value)
        before = row[f"BTOXGR{direction}"]
        assert before == (None if base is None else "0"), (test, value)
        assert row["TRTEMTOX"] == ("Y" if grade > 0 else "N"), (test, value)
    worst = adlb[adlb["DTYPE"] == "MAXIMUM"].set_index("USUBJID")
    assert set(worst["AVISIT"]) == {"POST-BASELINE MAXIMUM"}
    assert worst.loc[numbers[11], ["AVAL", "SHIFT1", "SHIFT2"]].tolist() == [262, "NORMAL to HIGH", "0 to 4"]
    assert (adlb[adlb["DTYPE"] == "MINIMUM"].groupby("USUBJID").size() == 1).all()


def test_the_worst_grade_and_indicator_need_not_be_of_the_highest_value(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [
            # The highest ALT came without limits.
            result("ALT", 40, day(0), high=50),
            result("ALT", 200, day(8), high=50),
            result("ALT", 210, day(15)),
            # Limits by which the lower creatinine is above them, the higher one is not.
            result("CREAT", 70, day(0), high=97),
            result("CREAT", 104, day(8), high=111),
            result("CREAT", 103, day(15), high=97),
            # A haemolysed sample is not analysed.
            result("AST", 40, day(0), high=40),
            result("AST", 900, day(8), high=40, LBSPCUFL="N"),
            result("AST", 50, day(15), high=40),
        ],
    }
    adlb = plain(derive(study, records, "ADLB"), "ADLB")
    rows = adlb[adlb["PARAMTYP"].isna() & adlb["DTYPE"].isna()]
    for flag, values in {"ANL04FL": "ATOXGRH", "ANL06FL": "ANRIND"}.items():
        worst = rows[rows[flag] == "Y"].set_index("PARAMCD")
        expected = {"ALT": [200, "2"], "CREAT": [103, "1"], "AST": [50, "1"]}
        if values == "ANRIND":
            expected = {name: [value, "HIGH"] for name, (value, _) in expected.items()}
        assert {name: [row["AVAL"], row[values]] for name, row in worst.iterrows()} == expected
    assert rows.loc[rows["AVAL"] == 900, "TRTEMTOX"].isna().all()
    assert adlb.loc[adlb["DTYPE"].notna(), ["ANL04FL", "ANL05FL", "ANL06FL", "ANL07FL"]].isna().all(axis=None)
    unlimited = rows[rows["AVAL"] == 210].iloc[0]
    assert unlimited[["MCRIT1ML", "MCRIT2ML"]].isna().all(), "without limits a criterion is not judged"


def test_neutrophils_over_lymphocytes_of_one_accession(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [
            result("NEUT", 4.2, day(0), accession="A1"),
            result("LYM", 1.4, day(0), accession="A1"),
            result("NEUT", 5.0, day(7), accession="A2"),
            result("LYM", 1.0, day(7), accession="A3"),
        ],
    }
    derived = derive(study, records, "ADLB")
    adlb = plain(derived, "ADLB")
    rows = adlb[(adlb["PARAMCD"] == "NLR") & adlb["DTYPE"].isna()]
    assert [round(value, 9) for value in rows["AVAL"]] == [3.0]
    left_out = [line for line in derived.account if line.rule == "component_missing"]
    assert sum(line.rows for line in left_out) == 1


def test_below_the_limit_counts_half(study: Study) -> None:
    low = result("CREAT", None, day(7)) | {"LBSTRESC": "<5"}
    records = {"DM": [subject()], "EX": [infusion()], "LB": [low]}
    adlb = plain(derive(study, records, "ADLB"), "ADLB")
    row = adlb[adlb["DTYPE"] == "HALFLLOQ"].iloc[0]
    assert row[["AVAL", "AVALC", "LLOQFL", "SRCVAR"]].tolist() == [2.5, "<5", "Y", "LBSTRESC"]


def baseline(records: dict[str, list[dict[str, Any]]], study: Study, name: str = "MELD") -> pd.DataFrame:
    adeff = plain(derive(study, records, "ADEFF"), "ADEFF")
    return adeff[adeff["PARAMCD"] == name]


def components(accession: str, at: str, bili: float = 40.0) -> list[dict[str, Any]]:
    return [result("BILI", bili, at, accession=accession), result("CREAT", 90, at, accession=accession)]


def test_a_score_takes_its_accession_first_then_the_nearest_within_three_days(study: Study) -> None:
    records = {"DM": [subject()], "EX": [infusion()], "DS": [end_of_treatment()]}
    same = [*components("B7", day(52), 70), *components("A1", day(50), 40), result("INR", 1.5, day(52), accession="A1")]
    row = baseline({**records, "LB": same}, study).iloc[0]
    assert row["MBILI"] == 40, "the same accession, although another sample is nearer"
    assert str(row["ADT"])[:10] == day(52, "")
    near = [*components("B1", day(47), 30), *components("B2", day(54), 80), result("INR", 1.5, day(50), accession="A1")]
    row = baseline({**records, "LB": near}, study).iloc[0]
    assert row["MBILI"] == 30, "three days are near, four are not"
    row = baseline({**records, "LB": near[2:]}, study)
    assert row.empty, "no component is carried from another time"
    late = [*components("B1", day(52), 30), result("INR", 1.5, day(50), accession="A1")]
    row = baseline({**records, "LB": late}, study).iloc[0]
    assert str(row["ADT"])[:10] == day(52, ""), "the score is known when its last component is"
    assert row["SRCSEQ"] == row["BILISEQ"] == 1
    assert row["SRCDOM"] == "LB"


def test_two_tubes_of_one_draw_make_one_score_before_the_dose(study: Study) -> None:
    """INR in a tube of its own, minutes after the other; a sample in the afternoon is no part of it."""
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "DS": [end_of_treatment()],
        "LB": [
            *components("A1", day(0, "T08:00"), 40),
            result("INR", 1.5, day(0, "T08:03"), accession="A2"),
            *components("A3", day(0, "T16:00"), 90),
        ],
    }
    rows = baseline(records, study)
    assert rows[["MBILI", "ABLFL"]].to_numpy().tolist() == [[40, "Y"]]
    assert str(rows.iloc[0]["ADTM"]) == "2022-07-01 08:03:00"


@pytest.mark.parametrize(
    ("first", "second", "inr"),
    [
        (("T08:00", "A1"), ("T08:03", "A2"), 1.5),  # bilirubin of 08:05 completes both; that of its accession stands
        (("T08:00", "A8"), ("T08:03", "A9"), 1.9),  # of other accessions the later
        (("T08:02", "A8"), ("T08:02", "A9"), 1.9),  # of the same minute the later record
        (("", "A8"), ("", "A9"), 1.9),
    ],
)
def test_of_several_scores_of_one_moment_one_stands(
    study: Study, first: tuple[str, str], second: tuple[str, str], inr: float
) -> None:
    at = "" if first[0] == "" else "T08:05"
    samples = [
        *components("A1", day(-1, at)),
        result("INR", 1.5, day(-1, first[0]), accession=first[1]),
        result("INR", 1.9, day(-1, second[0]), accession=second[1]),
    ]
    derived = derive(study, {"DM": [subject()], "EX": [infusion()], "LB": samples}, "ADEFF", "ADLB")
    rows = plain(derived, "ADEFF")
    rows = rows[rows["PARAMCD"] == "MELD"]
    assert rows[["MINR", "ABLFL"]].to_numpy().tolist() == [[inr, "Y"]]
    assert {one.rule for one in derived.findings} == set()
    left_out = sum(line.rows for line in derived.account if line.rule == "same_moment")
    assert left_out == 3, "MELD, MELDRAW and MELDETI; the others have no component"
    adlb = plain(derived, "ADLB")
    flagged = adlb[(adlb["PARAMCD"] == "INR") & (adlb["ABLFL"] == "Y")]
    assert flagged["AVAL"].tolist() == [1.9], "of samples the later, of one minute the later record"


SAMPLE = st.tuples(
    st.sampled_from(["BILI", "INR", "CREAT", "ALB"]),
    st.sampled_from(["", "T08:00", "T08:02", "T09:00", "T09:01", "T16:00"]),
    st.sampled_from([-3, -1, 0, 1]),
    st.sampled_from(["A1", "A2"]),
    st.sampled_from([None, "N"]),
)


@settings(max_examples=12)
@given(st.lists(SAMPLE, min_size=4, max_size=20))
def test_whatever_was_measured_when_there_is_one_baseline_and_one_score_of_a_moment(samples: list[Any]) -> None:
    study = LOADED[0] if LOADED else Study.load("ucmsc_dac")
    LOADED[:] = [study]
    taken = [
        result(test, 30 + place, day(elapsed, time), accession=accession, LBSPCUFL=unusable)
        for place, (test, time, elapsed, accession, unusable) in enumerate(samples)
    ]
    derived = derive(study, {"DM": [subject()], "EX": [infusion()], "LB": taken}, "ADLB", "ADEFF")
    assert {one.rule for one in derived.findings} == set()
    for name in ("ADLB", "ADEFF"):
        rows = plain(derived, name)
        flagged = rows[rows["ABLFL"] == "Y"]
        assert not flagged.duplicated("PARAMCD").any(), name
        assert (flagged["ADTM"].isna() | (flagged["ADTM"] <= pd.Timestamp(FIRST_DOSE))).all(), name
        assert (flagged["ADT"] <= pd.Timestamp(FIRST_DOSE[:10])).all(), name
    scores = rows[rows["PARAMCD"].isin(["MELD", "ALBI"])]
    assert not scores.assign(at=scores["ADTM"].fillna(scores["ADT"])).duplicated(["PARAMCD", "at"]).any()


LOADED: list[Study] = []


def test_a_form_of_day_1_takes_what_was_measured_before_the_infusion(study: Study) -> None:
    form = {"USUBJID": "1001", "RSDTC": day(0, ""), "VISIT": "DAY 1", "VISITNUM": 2, "RSGRPID": "G"}
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [
            result(test, value, day(0, time), accession=time)
            for time, factor in (("T07:30", 1.0), ("T09:40", 2.0))
            for test, value in (("BILI", 30 * factor), ("ALB", 36), ("INR", 1.2 * factor))
        ],
        "RS": [
            form | {"RSTESTCD": "CPS0102", "RSORRES": "Absent", "RSSTRESC": "1", "RSSTRESN": 1},
            form | {"RSTESTCD": "CPS0106", "RSORRES": "5", "RSSTRESC": "5", "RSSTRESN": 5},
            form | {"RSTESTCD": "WHEG0101", "RSORRES": "GRADE 0", "RSSTRESC": "GRADE 0"},
        ],
    }
    rows = baseline(records, study, "CPTOTD")
    assert rows[["AVAL", "MBILI", "MINR", "ABLFL"]].to_numpy().tolist() == [[5, 30, 1.2, "Y"]]


def test_an_unusable_specimen_is_no_component_and_no_baseline(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [
            *components("A1", day(-5)),
            result("INR", 1.5, day(-5)),
            result("INR", 1.9, day(0), LBSPCUFL="N", accession="A2"),
            *components("A2", day(0)),
        ],
    }
    derived = derive(study, records, "ADEFF", "ADLB", "ADSL")
    rows = plain(derived, "ADEFF")
    assert len(rows[rows["PARAMCD"] == "MELD"]) == 1
    assert plain(derived, "ADSL").loc[0, ["INRBL", "BILIBL"]].tolist() == [1.5, 40], "one baseline for all tables"
    adlb = plain(derived, "ADLB")
    inr = adlb[(adlb["PARAMCD"] == "INR") & adlb["DTYPE"].isna()].set_index("ADY")["ABLFL"]
    assert inr.to_dict() == {-5: "Y", 1: None}


def test_a_score_needs_all_components_before_the_dose_to_be_a_baseline(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [*components("A1", day(1)), result("INR", 1.5, day(0, "T07:00"), accession="A2")],
    }
    row = baseline(records, study).iloc[0]
    assert row["ABLFL"] is None
    assert str(row["ADTM"]).replace(" ", "T") > FIRST_DOSE


@pytest.mark.parametrize(("ended", "dialysed"), [(13, "Y"), (12, None)])
def test_dialysis_counts_for_seven_days(study: Study, ended: int, dialysed: str | None) -> None:
    treated = {"USUBJID": "1001", "PRTRT": "CRRT", "PRCAT": "RENAL REPLACEMENT"}
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "PR": [{**treated, "PRSTDTC": day(10, ""), "PRENDTC": day(ended, "")}],
        "LB": [*components("A1", day(20)), result("INR", 1.0, day(20))],
    }
    row = baseline(records, study).iloc[0]
    assert row["DIALFL"] == dialysed
    # By hand: 0.957 ln 4 = 1.32669, 0.378 ln(40/17.1) = 0.32122, + 0.643, times 10; else 0.957 ln(90/88.4) = 0.01717.
    assert row["AVAL"] == (23 if dialysed else 10)


def test_another_treatment_leaves_the_sensitivity_analysis(study: Study) -> None:
    drug = {"USUBJID": "1001", "CMTRT": "HUMAN ALBUMIN", "CMCAT": "ALBUMIN"}
    records = {
        "DM": [subject()],
        "EX": [infusion()],
        "DS": [end_of_treatment()],
        "CM": [
            {**drug, "CMSTDTC": day(20, ""), "CMENDTC": day(23, "")},
            {"USUBJID": "1001", "CMTRT": "WARFARIN", "CMCAT": "ROUTINE", "CMSTDTC": day(80, ""), "CMENRTPT": "ONGOING"},
        ],
        "LB": [
            result(test, 35 if test == "ALB" else 60 if test != "INR" else 1.2, day(elapsed), accession=str(elapsed))
            for elapsed in (7, 30, 91)
            for test in ("ALB", "BILI", "CREAT", "INR")
        ],
    }
    derived = derive(study, records, "ADLB", "ADEFF")
    adlb = plain(derived, "ADLB")
    albumin = adlb[(adlb["PARAMCD"] == "ALB") & adlb["DTYPE"].isna()].set_index("AVISIT")["ANL02FL"]
    assert albumin.to_dict() == {"Day 8": "Y", "Month 1": None, "Month 3": "Y"}
    adeff = plain(derived, "ADEFF").set_index(["PARAMCD", "AVISIT"])
    assert adeff.loc["ALBI"]["ANL02FL"].to_dict() == {"Day 8": "Y", "Month 1": None, "Month 3": "Y"}
    assert adeff.loc["MELD"]["ANL02FL"].to_dict() == {"Day 8": "Y", "Month 1": "Y", "Month 3": None}
    assert adeff.loc["MELD"]["INRACFL"].to_dict() == {"Day 8": None, "Month 1": None, "Month 3": "Y"}


def test_hepatic_signals(study: Study) -> None:
    limits = {"ALT": 50, "BILI": 26, "ALP": 125, "INR": 1.2}

    def sample(number: str, elapsed: int, **values: float) -> list[dict[str, Any]]:
        return [
            result(test, value, day(elapsed), number, high=limits[test], accession=f"{number}{elapsed}")
            for test, value in values.items()
        ]

    told = {
        # Three times the limit and bilirubin on the day; 20 days after; 31 days after; cholestatic; no jaundice.
        "H1": [*sample("H1", 0, ALT=40, BILI=20), *sample("H1", 50, ALT=150, BILI=52, ALP=100)],
        "H2": [*sample("H2", 50, ALT=150), *sample("H2", 70, BILI=52)],
        "H3": [*sample("H3", 50, ALT=150), *sample("H3", 81, BILI=52)],
        "H4": sample("H4", 50, ALT=150, BILI=52, ALP=250),
        "H5": sample("H5", 50, ALT=150, BILI=51.9),
        # A high baseline: three times the baseline, bilirubin doubled, INR up by 0.3; then by less.
        "H6": [*sample("H6", 0, ALT=60, BILI=60, INR=1.4), *sample("H6", 50, ALT=180, BILI=120, INR=1.7)],
        "H7": [*sample("H7", 0, ALT=60, BILI=60, INR=1.4), *sample("H7", 50, ALT=180, BILI=120, INR=1.69)],
        # A normal baseline needs five times the limit.
        "H8": [*sample("H8", 0, ALT=40, BILI=20, INR=1.0), *sample("H8", 50, ALT=249, BILI=40, INR=1.3)],
        "H9": [*sample("H9", 0, ALT=40, BILI=20, INR=1.0), *sample("H9", 50, ALT=250, BILI=40, INR=1.3)],
    }
    records = {
        "DM": [subject(number) for number in told],
        "EX": [infusion(number) for number in told],
        "LB": [row for rows in told.values() for row in rows],
    }
    adlb = plain(derive(study, records, "ADLB"), "ADLB")
    rows = adlb[(adlb["PARAMCD"] == "ALT") & (adlb["ADY"] == 51) & adlb["DTYPE"].isna()].set_index("USUBJID")
    assert rows["MCRIT1ML"].to_dict() == {
        "H1": "MET WITHIN 14 DAYS",
        "H2": "MET WITHIN 30 DAYS",
        "H3": "NOT MET",
        "H4": "NOT MET",
        "H5": "NOT MET",
        "H6": "MET WITHIN 14 DAYS",
        "H7": "MET WITHIN 14 DAYS",
        "H8": "NOT MET",
        "H9": "NOT MET",
    }
    assert set(rows.index[rows["MCRIT2ML"] == "MET"]) == {"H6", "H9"}


def test_a_result_that_is_no_number_is_of_the_parameter_of_those_that_are(study: Study) -> None:
    negative = result("BILI", None, day(9), LBSTRESC="NEGATIVE", LBSTRESU=None)
    samples = [result("BILI", 20, day(7)), negative, result("INR", 1.2, day(7))]
    adlb = plain(derive(study, {"DM": [subject()], "EX": [infusion()], "LB": samples}, "ADLB"), "ADLB")
    names = adlb.groupby("PARAMCD", observed=True)["PARAM"].unique().map(list).to_dict()
    assert names == {"BILI": ["Bili (umol/L)"], "INR": ["Inr"]}
