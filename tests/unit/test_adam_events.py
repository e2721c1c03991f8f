"""Analysis visits, adverse events, exposure and time to event of the reference study, on records written by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_sdtm import FIRST_DOSE, day, derive, end_of_treatment, infusion, plain, result, subject
from transforms.pipeline import explanations
from transforms.study import Study

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.load("ucmsc_dac")


def visits(study: Study, records: Rows, elapsed: list[int]) -> pd.DataFrame:
    """ADLB rows of one analyte sampled so many days after the first dose, by that day."""
    laboratory = [result("BILI", 30 + one / 10, day(one), accession=str(one)) for one in elapsed]
    adlb = plain(derive(study, {**records, "LB": laboratory}, "ADLB"), "ADLB")
    rows = adlb[adlb["DTYPE"].isna()]
    return rows.assign(elapsed=(rows["ADT"] - pd.Timestamp("2022-07-01")).dt.days).set_index("elapsed")


def test_window_boundaries_of_one_dose(study: Study) -> None:
    records = {"DM": [subject()], "EX": [infusion()], "DS": [end_of_treatment()]}
    expected = {3: None, 4: "Day 8", 10: "Day 8", 11: "Day 15", 17: "Day 15", 18: "Day 22"}
    expected |= {25: "Day 22", 26: "Month 1", 60: "Month 1", 61: "Month 3", 136: "Month 3", 137: "Month 6"}
    expected |= {273: "Month 6", 274: "Month 12", 456: "Month 12", 457: None}
    rows = visits(study, records, list(expected))
    assert rows["AVISIT"].to_dict() == expected
    assert rows.loc[[26, 60], ["AWTARGET", "AWLO", "AWHI", "AWTDIFF"]].to_numpy().tolist() == [
        [30, 26, 60, 4],
        [30, 26, 60, 30],
    ]
    assert rows["ANCHORFL"].isna().all()


@pytest.mark.parametrize(
    ("disposition", "closed"),
    [
        ([], False),
        ([end_of_treatment(reason="ADVERSE EVENT")], True),
        (
            [
                {
                    "USUBJID": "1001",
                    "DSCAT": "PROTOCOL MILESTONE",
                    "DSDECOD": "DSMB DID NOT CLEAR REPEAT ADMINISTRATION",
                    "DSSTDTC": "2022-07-24",
                }
            ],
            True,
        ),
    ],
)
def test_the_anchor_is_provisional_while_a_dose_may_come(study: Study, disposition: Any, closed: bool) -> None:
    rows = visits(study, {"DM": [subject()], "EX": [infusion()], "DS": disposition}, [25, 26])
    assert rows.loc[25, ["AVISIT", "ANCHORFL"]].tolist() == ["Day 22", None]
    assert rows.loc[26, ["AVISIT", "ANCHORFL"]].tolist() == (["Month 1", None] if closed else [None, "P"])


@pytest.mark.parametrize(
    ("person", "reason", "treatment"),
    [
        ({}, "COMPLETED", [None, None]),
        ({}, "LOST TO FOLLOW-UP", ["DISCONTINUED", "LOST TO FOLLOW-UP"]),
        ({"DTHFL": "Y", "DTHDTC": day(60, "")}, None, ["DISCONTINUED", "DEATH"]),
        ({}, None, ["ONGOING", None]),
    ],
)
def test_no_dose_comes_after_the_study_or_a_death(
    study: Study, person: dict[str, Any], reason: str | None, treatment: list[str | None]
) -> None:
    left = {"USUBJID": "1001", "DSCAT": "DISPOSITION EVENT", "DSSCAT": "STUDY PARTICIPATION", "DSSTDTC": day(60, "")}
    records: Rows = {
        "DM": [subject(**person)],
        "EX": [infusion()],
        "DS": [{**left, "DSDECOD": reason}] if reason else [],
    }
    rows = visits(study, records, [30])
    open_still = treatment[0] == "ONGOING"
    assert rows.loc[30, ["AVISIT", "ANCHORFL"]].tolist() == ([None, "P"] if open_still else ["Month 1", None])
    adsl = plain(derive(study, records, "ADSL"), "ADSL")
    assert adsl.loc[0, ["EOTSTT", "DCTREAS"]].tolist() == treatment


def test_records_between_doses_are_no_month_and_later_ones_count_from_the_last(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion(), infusion(at=f"{day(40, '')}T09:00")],
        "DS": [end_of_treatment(on=day(60, ""))],
    }
    rows = visits(study, records, [7, 22, 30, 45, 65, 66, 131])
    assert rows["AVISIT"].to_dict() == {
        7: "Day 8",
        22: "Day 22",
        30: None,
        45: None,
        65: None,
        66: "Month 1",
        131: "Month 3",
    }
    assert rows.loc[66, "ADYLD"] == 26


@settings(max_examples=10)
@given(
    second=st.none() | st.integers(1, 120),
    elapsed=st.lists(st.integers(-10, 600), min_size=1, max_size=25, unique=True),
    closed=st.booleans(),
)
def test_a_record_is_in_one_window_of_one_clock(second: int | None, elapsed: list[int], closed: bool) -> None:
    study = Study.load("ucmsc_dac") if not LOADED else LOADED[0]
    LOADED[:] = [study]
    doses = [infusion()] + ([infusion(at=f"{day(second, '')}T09:00")] if second else [])
    records = {"DM": [subject()], "EX": doses, "DS": [end_of_treatment(on=day(130, ""))] if closed else []}
    rows = visits(study, records, elapsed)

    def expected(one: int) -> str | None:
        if one <= 0:
            return "Baseline" if one == max(value for value in elapsed if value <= 0) else None
        after_last = one - (second or 0)
        if after_last >= 26:
            months = [("Month 1", 60), ("Month 3", 136), ("Month 6", 273), ("Month 12", 456)]
            return next((name for name, last in months if after_last <= last), None) if closed else None
        # Samples are taken at 08:00, doses given at 09:00.
        if second is not None and one > second:
            return None
        days = [("Day 8", 4, 10), ("Day 15", 11, 17), ("Day 22", 18, 25)]
        return next((name for name, low, high in days if low <= one <= high), None)

    assert rows["AVISIT"].to_dict() == {one: expected(one) for one in elapsed}
    chosen = rows[rows["ANL01FL"] == "Y"]
    assert not chosen.duplicated("AVISIT").any()
    assert set(chosen["AVISIT"]) == set(rows["AVISIT"].dropna())


LOADED: list[Study] = []


def test_the_record_for_analysis_is_the_planned_then_the_nearest_then_the_later_usable_one(study: Study) -> None:
    records = {"DM": [subject()], "EX": [infusion()], "DS": [end_of_treatment()]}

    def chosen(*samples: dict[str, Any]) -> list[float]:
        adlb = plain(derive(study, {**records, "LB": list(samples)}, "ADLB"), "ADLB")
        return adlb.loc[(adlb["ANL01FL"] == "Y") & (adlb["AVISIT"] == "Month 1"), "AVAL"].tolist()

    planned = result("BILI", 1, day(50), VISIT="MONTH 1", VISITNUM=10)
    assert chosen(planned, result("BILI", 2, day(30), VISIT="UNSCHEDULED 10.01")) == [1]
    assert chosen(result("BILI", 1, day(29)), result("BILI", 2, day(32))) == [1]
    assert chosen(result("BILI", 1, day(29)), result("BILI", 2, day(31))) == [2], "as near, later"
    assert chosen(result("BILI", 1, day(30, "T07:00")), result("BILI", 2, day(30, "T09:00"))) == [2]
    assert chosen(result("BILI", 1, day(30), LBSPCUFL="N"), result("BILI", 2, day(58))) == [2]


def test_values_after_a_transplant_are_left_out(study: Study) -> None:
    transplant = {"USUBJID": "1001", "PRTRT": "X", "PRCAT": "TRANSPLANT", "PRSTDTC": day(91, "")}
    records = {"DM": [subject()], "EX": [infusion()], "DS": [end_of_treatment()], "PR": [transplant]}
    rows = visits(study, records, [30, 91, 182])
    assert rows["ANL03FL"].to_dict() == {30: "Y", 91: "Y", 182: None}


# Adverse events


def event(term: str = "Fatigue", start: str | None = None, number: str = "1001", **other: Any) -> dict[str, Any]:
    return {
        "USUBJID": number,
        "AETERM": term.upper(),
        "AEDECOD": term,
        "AEBODSYS": "General disorders and administration site conditions",
        "AESTDTC": start,
        "AETOXGR": "1",
        "AEREL": "NOT RELATED",
        "AESER": "N",
        **other,
    }


def events(study: Study, *rows: dict[str, Any], **other: list[dict[str, Any]]) -> pd.DataFrame:
    records = {"DM": [subject()], "EX": [infusion()], **other, "AE": list(rows)}
    return plain(derive(study, records, "ADAE"), "ADAE").sort_values("AESEQ").set_index("AESEQ")


@pytest.mark.parametrize(
    ("start", "end", "astdt", "flag", "emergent"),
    [
        ("2022-07", None, "2022-07-01", "D", "Y"),  # the month of the first dose: its day
        ("2022-08", None, "2022-08-01", "D", "Y"),
        ("2022-06", None, "2022-06-20", "D", None),  # never before consent
        ("2022", None, "2022-07-01", "M", "Y"),  # the year of the first dose
        ("2023", None, "2023-01-01", "M", "Y"),
        ("2022-05", None, "2022-05-31", "D", None),  # nor out of the month collected
        ("2021", None, "2021-12-31", "M", None),
        ("2022---15", None, "2022-07-01", "M", "Y"),  # a day without its month says no more than the year
        ("2022-07", "2022-06-28", "2022-07-01", "D", "Y"),  # an end before it, and a month that is kept
        ("2022-08", "2022-08-20", "2022-08-01", "D", "Y"),
        ("2023", "2022-12-20", "2023-01-01", "M", "Y"),
        (None, None, None, None, "Y"),  # no year: it counts
        ("2022-07-01", None, "2022-07-01", None, "Y"),  # no time: the day decides
        ("2022-07-01T08:59", None, "2022-07-01", None, None),
        ("2022-07-01T09:00", None, "2022-07-01", None, "Y"),
        ("2022-06-30", None, "2022-06-30", None, None),
    ],
)
def test_start_and_treatment_emergence(
    study: Study, start: str | None, end: str | None, astdt: str | None, flag: str | None, emergent: str | None
) -> None:
    row = events(study, event(start=start, AEENDTC=end)).loc[1]
    assert (None if pd.isna(row["ASTDT"]) else str(row["ASTDT"])[:10]) == astdt
    assert row["ASTDTF"] == flag
    assert row["TRTEMFL"] == emergent


def test_ends_are_imputed_to_the_last_day_and_not_past_death_or_cut_off(study: Study) -> None:
    ends = {1: "2022-09", 2: "2022", 3: "2024", 4: "2022-09-05"}
    rows = events(study, *(event(start="2022-08-01", AEENDTC=end) for end in ends.values()))
    assert rows["AENDT"].astype(str).str[:10].tolist() == ["2022-09-30", "2022-12-31", "2024-12-31", "2022-09-05"]
    assert rows["AENDTF"].tolist() == ["D", "M", "M", None]
    died = events(study, event(start="2022-08-01", AEENDTC="2022-09"), DM=[subject(DTHFL="Y", DTHDTC="2022-09-10")])
    assert str(died.loc[1, "AENDT"])[:10] == "2022-09-10"
    later = events(study, event(start="2022-08-01", AEENDTC="2022-10"), DM=[subject(DTHFL="Y", DTHDTC="2022-09-10")])
    assert str(later.loc[1, "AENDT"])[:10] == "2022-10-01", "the month collected is kept, whatever contradicts it"


def test_emergence_ends_with_the_study_and_not_after_thirty_days(study: Study) -> None:
    completed = end_of_treatment() | {"DSSCAT": "STUDY PARTICIPATION", "DSSTDTC": "2023-07-10"}
    rows = events(study, event(start="2023-07-10"), event(start="2023-07-11"), DS=[end_of_treatment(), completed])
    assert rows["TRTEMFL"].tolist() == ["Y", None]


def test_an_event_that_goes_on_is_emergent_by_a_higher_grade(study: Study) -> None:
    rows = events(
        study,
        event("Pruritus", "2022-06-25", AEENDTC="2022-07-05", AETOXGR="1"),
        event("Pruritus", "2022-07-06", AETOXGR="2"),  # goes on, worse
        event("Ascites", "2022-06-25", AEENDTC="2022-07-05", AETOXGR="2"),
        event("Ascites", "2022-07-06", AETOXGR="2"),  # goes on as it was
        event("Ascites", "2022-08-20", AETOXGR="1"),  # another one: the first had ended
        event("Fever", "2022-06-25", AETOXGR="1"),  # never ended
        event("Fever", "2022-09-01", AETOXGR="1"),
        event("Nausea", "2022-09-01", AETOXGR="1"),
    )
    assert rows["TRTEMFL"].tolist() == [None, "Y", None, None, "Y", None, None, "Y"]


def test_causality_dose_limiting_toxicity_and_queries(study: Study) -> None:
    causes = ["DEFINITELY RELATED", "PROBABLY RELATED", "POSSIBLY RELATED", "UNASSESSABLE", None]
    others = ["UNLIKELY RELATED", "NOT RELATED"]
    rows = events(study, *(event(start="2022-07-05", AEREL=one) for one in [*causes, *others]))
    assert rows["AREL"].tolist() == ["RELATED"] * 5 + ["NOT RELATED"] * 2
    assert rows["AREL2"].tolist() == ["RELATED"] * 4 + ["NOT RELATED"] * 3

    def qualified(number: int, **values: str) -> list[dict[str, Any]]:
        return [
            {"RDOMAIN": "AE", "USUBJID": "1001", "IDVAR": "AESEQ", "IDVARVAL": str(number), "QNAM": name, "QVAL": value}
            for name, value in values.items()
        ]

    toxic = {"AEREL": "POSSIBLY RELATED", "AETOXGR": "3"}
    rows = events(
        study,
        event(start="2022-07-22", **toxic),  # day 21 after the dose, judged
        event(start="2022-07-23", **toxic),  # day 22
        event(start="2022-07-10", **toxic),  # the board says no
        event("Platelet count decreased", "2022-07-10", **toxic),
        event("Platelet count decreased", "2022-07-10", **{**toxic, "AETOXGR": "4"}),
        SUPPAE=[
            *qualified(1, AEDLT="Y"),
            *qualified(2, AEDLT="Y"),
            *qualified(3, AEDLT="Y", AEDLTADJ="N"),
            *qualified(5, AEDLT="N", AEDLTADJ="Y"),
        ],
    )
    assert rows["DLTWFL"].tolist() == ["Y", None, "Y", "Y", "Y"]
    assert rows["DLTFL"].tolist() == ["Y", None, None, None, "Y"]
    assert rows["DLTCFL"].tolist() == ["Y", None, "Y", None, "Y"]

    terms = {
        "Ascites": "CQ01NAM",
        "Infusion related reaction": "CQ02NAM",
        "Portal vein thrombosis": "CQ04NAM",
        "Pulmonary EMBOLISM": "CQ04NAM",
        "Fatigue": None,
    }
    rows = events(study, *(event(term, "2022-07-05") for term in terms))
    for (term, name), (_, row) in zip(terms.items(), rows.iterrows(), strict=True):
        found = [one for one in rows.columns if one.startswith("CQ") and row[one] is not None]
        assert found == ([name] if name else []), term
    rows = events(
        study,
        event(start="2022-07-05", AEBODSYS="Infections and infestations"),
        event(start="2022-07-05", AEBODSYS="Neoplasms benign, malignant and unspecified (incl cysts and polyps)"),
    )
    assert rows["CQ03NAM"].tolist() == ["INFECTION", None]
    assert rows["CQ05NAM"].tolist() == [None, "NEOPLASM"]


def test_the_last_dose_before_an_event_and_infusion_reactions(study: Study) -> None:
    doses = [infusion(dose=0.5), infusion(at="2022-08-01T09:00", dose=0.52)]
    rows = events(
        study,
        event(start="2022-07-01T08:00"),
        event(start="2022-07-02T09:00"),
        event(start="2022-07-02T09:01"),
        event(start="2022-08-01T08:59"),
        event(start="2022-08-01"),
        event(start="2022-08-05"),
        EX=doses,
    )
    assert rows["LDOSE"].iloc[1:4].tolist() == [0.5, 0.5, 0.5]
    assert pd.isna(rows.loc[1, "LDOSE"])
    assert rows.loc[6, ["LDOSE", "ASTDYLD"]].tolist() == [0.52, 4]
    assert rows.loc[4, ["LDOSE", "ASTDYLD"]].tolist() == [0.5, 31], "a minute before the second infusion"
    assert rows.loc[5, ["LDOSE", "ASTDYLD"]].tolist() == [0.52, 0], "on the day of it, without a time"
    assert rows["IRRFL"].tolist() == [None, "Y", None, None, "Y", None]


def test_occurrence_flags(study: Study) -> None:
    skin = {"AEBODSYS": "Skin and subcutaneous tissue disorders"}
    rows = events(
        study,
        event("Fatigue", "2022-06-25", AEENDTC="2022-06-27", AETOXGR="3"),  # before treatment
        event("Fatigue", "2022-07-10", AETOXGR="1"),
        event("Fatigue", "2022-07-09", AETOXGR="2", AEREL="POSSIBLY RELATED"),
        event("Pruritus", "2022-07-09", AETOXGR="3", **skin),
        event("Pruritus", "2022-07-12", AETOXGR="3", AEREL="POSSIBLY RELATED", **skin),
    )
    expected = {
        "AOCCFL": [3],
        "AOCCSFL": [3, 4],
        "AOCCPFL": [3, 4],
        "AOCCIFL": [4],
        "AOCCSIFL": [3, 4],
        "AOCCPIFL": [3, 4],
        "AOCC01FL": [3],
        "AOCC02FL": [5],
    }
    assert {name: rows.index[rows[name] == "Y"].tolist() for name in expected} == expected


def test_evaluability_for_dose_limiting_toxicity(study: Study) -> None:
    people = {
        "1001": (0.46, day(21, ""), True),  # 92 %, 21 days observed
        "1002": (0.44, day(30, ""), False),  # 88 %
        "1003": (0.50, day(20, ""), False),  # 20 days
    }
    records: Rows = {
        "DM": [subject(number) for number in (*people, "1004")],
        "EX": [infusion(number, dose=dose) for number, (dose, *_) in people.items()] + [infusion("1004", dose=0.2)],
        "VS": [
            {"USUBJID": number, "VSTESTCD": "PULSE", "VSSTRESN": 70, "VSDTC": seen}
            for number, (_, seen, _) in people.items()
        ],
        "AE": [event(start="2022-07-03", number="1004", AETOXGR="4")],
        "SUPPAE": [
            {
                "RDOMAIN": "AE",
                "USUBJID": "1004",
                "IDVAR": "AESEQ",
                "IDVARVAL": "1",
                "QNAM": "AEDLT",
                "QVAL": "Y",
            }
        ],
    }
    adsl = plain(derive(study, records, "ADSL"), "ADSL").set_index("USUBJID")["DLTEVLFL"]
    expected = {number: "Y" if evaluable else "N" for number, (*_, evaluable) in people.items()}
    assert adsl.to_dict() == {**expected, "1004": "Y"}, "whoever had one is evaluable"


def test_subject_level_follow_up(study: Study) -> None:
    records = {
        "DM": [subject(DTHFL="Y", DTHDTC="2022-09")],
        "EX": [infusion()],
        "CM": [{"USUBJID": "1001", "CMTRT": "X", "CMCAT": "ROUTINE", "CMSTDTC": "2022-09-11"}],
        "DD": [{"USUBJID": "1001", "DDTESTCD": "PRCDTH", "DDSTRESC": "SEPSIS"}],
        "SU": [{"USUBJID": "1001", "SUTRT": "ALCOHOL", "SUSCAT": "HISTORY", "SUENDTC": "2021-11"}],
    }
    row = plain(derive(study, records, "ADSL"), "ADSL").iloc[0]
    assert str(row["LSTALVDT"])[:10] == "2022-09-11", "the start of a drug shows the subject alive"
    assert [str(row["DTHDT"])[:10], row["DTHDTF"]] == ["2022-09-12", "D"]
    assert row[["DTHCGR1", "DTHDOM", "ALCABSTM", "DIALBLFL", "LTFL"]].tolist() == ["INFECTION", "DD", 8, "N", "N"]


def test_a_transplant_without_a_day_is_one(study: Study) -> None:
    graft = {"USUBJID": "1001", "PRTRT": "LT", "PRCAT": "TRANSPLANT", "PRSTDTC": "2022-09"}
    derived = derive(study, {"DM": [subject()], "EX": [infusion()], "PR": [graft]}, "ADSL", "ADTTE")
    row = plain(derived, "ADSL").iloc[0]
    assert row["LTFL"] == "Y"
    assert pd.isna(row["LTDT"])
    assert "event_without_date" in {one.rule for one in derived.findings}


# Exposure


def test_exposure(study: Study) -> None:
    records = {
        "DM": [subject()],
        "EX": [infusion(dose=0.56), infusion(at="2022-07-29T09:00", dose=0.44)],
        "EC": [
            {"USUBJID": "1001", "ECMOOD": "PERFORMED", "ECOCCUR": "Y", "ECDOSE": 36.4, "ECSTDTC": FIRST_DOSE},
            {"USUBJID": "1001", "ECMOOD": "PERFORMED", "ECOCCUR": "N", "ECSTDTC": "2022-08-26T09:00"},
        ],
        "SUPPEC": [
            {"RDOMAIN": "EC", "USUBJID": "1001", "IDVAR": "ECSEQ", "IDVARVAL": "1", "QNAM": "VIABPCT", "QVAL": "91.5"}
        ],
    }
    derived = derive(study, records, "ADEX")
    adex = plain(derived, "ADEX")
    values = adex.groupby("PARAMCD")["AVAL"].agg(list).to_dict()
    assert {name: [round(one, 6) for one in several] for name, several in values.items()} == {
        "DOSE": [0.56, 0.44],
        "INFDUR": [60, 60],
        "RDI": [112, 88],
        "CELLS": [36.4],
        "VIAB": [91.5],
        "NDOSE": [2],
        "CUMDOSE": [1.0],
        "DOSEINT": [0.5],  # 1.0 in two intervals of 28 days
    }
    assert adex.loc[adex["PARAMCD"] == "RDI", "CRIT1FL"].tolist() == ["Y", "Y"]
    assert [line.rows for line in derived.account if line.rule == "value_missing"] == [1], "the volume is not recorded"


# Time to event


def times(study: Study, records: Rows) -> pd.DataFrame:
    return plain(derive(study, records, "ADTTE"), "ADTTE").set_index(["USUBJID", "PARAMCD"])


def test_survival_from_both_origins_and_its_sources(study: Study) -> None:
    ended = {"USUBJID": "1003", "DSCAT": "DISPOSITION EVENT", "DSSCAT": "STUDY PARTICIPATION"}
    pulse = {"VSTESTCD": "PULSE", "VSSTRESN": 70}
    records: Rows = {
        "DM": [
            subject("1001", DTHFL="Y", DTHDTC="2022-10-01"),
            subject("1002"),
            subject("1003"),
            subject("1004"),
            subject("1005", RFXSTDTC=None, RFSTDTC=None, ACTARM=None, ACTARMCD=None),
        ],
        "EX": [infusion(number) for number in ("1001", "1002", "1003", "1004")]
        + [infusion("1001", at="2022-08-01T09:00")],
        "DS": [{**ended, "DSDECOD": "LOST TO FOLLOW-UP", "DSSTDTC": "2023-01-31"}],
        "VS": [
            {"USUBJID": "1002", "VSDTC": "2022-12-01", **pulse},
            {"USUBJID": "1002", "VSDTC": "2023-07-01", **pulse},
            {"USUBJID": "1003", "VSDTC": "2022-12-24", **pulse},
        ],
        "PR": [{"USUBJID": "1004", "PRTRT": "LT", "PRCAT": "TRANSPLANT", "PRSTDTC": "2022-09-30"}],
        "LB": [result("BILI", 20, "2022-11-30T08:00", "1004")],
    }
    rows = times(study, records)
    assert "1005" not in rows.index.get_level_values(0), "only who was dosed is at risk"
    columns = ["AVAL", "CNSR", "EVNTDESC", "SRCDOM", "SRCVAR"]
    alive = "ALIVE AT DATA CUT-OFF OR STUDY COMPLETION"
    assert rows.loc[("1001", "OSLD"), columns].tolist() == [62, 0, "DEATH", "DM", "DTHDTC"]
    assert rows.loc[("1001", "OSFD"), columns].tolist() == [93, 0, "DEATH", "DM", "DTHDTC"]
    assert rows.loc[("1002", "OSFD"), columns].tolist() == [366, 1, alive, "VS", "VSDTC"]
    assert rows.loc[("1002", "OSFD"), ["SRCSEQ", "CNSDTDSC"]].tolist() == [2, "LAST KNOWN ALIVE DATE"]
    assert rows.loc[("1003", "OSFD"), columns].tolist() == [177, 2, "LOST TO FOLLOW-UP", "VS", "VSDTC"]
    assert rows.loc[("1004", "OSFD"), columns].tolist() == [153, 1, alive, "LB", "LBDTC"]
    assert rows.loc[("1004", "TFSLD"), [*columns, "SRCSEQ"]].tolist() == [
        92,
        0,
        "LIVER TRANSPLANT",
        "PR",
        "PRSTDTC",
        1,
    ]
    assert set(rows["AVALU"]) == {"DAYS"}


def test_first_events_competing_death_and_the_origin(study: Study) -> None:
    related = {"AEREL": "POSSIBLY RELATED"}
    records: Rows = {
        "DM": [subject("1001"), subject("1002", DTHFL="Y", DTHDTC="2022-12-01"), subject("1003")],
        "EX": [infusion(number) for number in ("1001", "1002", "1003")] + [infusion("1003", at="2022-08-01T09:00")],
        "VS": [
            {"USUBJID": number, "VSTESTCD": "PULSE", "VSSTRESN": 70, "VSDTC": "2023-01-01"}
            for number in ("1001", "1003")
        ],
        "AE": [
            event(start="2022-08-10", number="1001", **related),
            event(start="2022-08-05", number="1001", **related),
            event("Ascites", "2022-07-20", number="1003"),  # before the last dose
        ],
    }
    rows = times(study, records)
    columns = ["AVAL", "CNSR", "SRCDOM", "SRCSEQ"]
    assert rows.loc[("1001", "TTRAE"), columns].tolist() == [36, 0, "ADAE", 2]
    assert rows.loc[("1002", "TTDEC"), ["AVAL", "CNSR", "EVNTDESC"]].tolist() == [
        154,
        3,
        "DEATH WITHOUT DECOMPENSATION",
    ]
    assert rows.loc[("1003", "TTDEC"), ["AVAL", "CNSR"]].tolist() == [154, 1], "events before the origin are none"


def test_a_death_without_a_month_is_asked_for_and_not_censored(study: Study) -> None:
    records = {"DM": [subject(DTHFL="Y", DTHDTC="2022")], "EX": [infusion()]}
    derived = derive(study, records, "ADTTE")
    row = plain(derived, "ADTTE").set_index("PARAMCD").loc["OSFD"]
    assert pd.isna(row["ADT"])
    assert pd.isna(row["CNSR"])
    assert {"event_without_date", "analysis_value_missing"} <= {one.rule for one in derived.findings}


def test_a_related_event_without_a_start_counts_and_keeps_the_time_to_the_first_one_open(study: Study) -> None:
    related = {"AEREL": "POSSIBLY RELATED"}
    records = {
        "DM": [subject("1001"), subject("1002")],
        "EX": [infusion("1001"), infusion("1002")],
        "AE": [event(start=None, **related), event(start="2022-08-05", number="1002", **related)],
    }
    derived = derive(study, records, "ADAE", "ADTTE")
    assert plain(derived, "ADAE")["TRTEMFL"].tolist() == ["Y", "Y"]
    rows = plain(derived, "ADTTE").set_index(["USUBJID", "PARAMCD"])
    assert rows.loc[("1001", "TTRAE"), ["ADT", "CNSR", "AVAL"]].isna().all(), "nobody is censored past an event"
    assert rows.loc[("1002", "TTRAE"), ["CNSR", "AVAL"]].tolist() == [0, 36]
    known = explanations(study)
    assert {"event_without_date", "analysis_value_missing"} <= {one.rule for one in derived.findings} <= set(known)
