"""Every output of the reference study on what is hardest for it: nobody, and subjects of whom something is missing."""

from __future__ import annotations

import warnings
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.small_sdtm import CUT_OFF, day, end_of_treatment, frames, infusion, plain, result, subject
from transforms import pipeline
from transforms.adam.engine import Derived, derive_study
from transforms.gate.assess import assess
from transforms.reporting.figures import drawn
from transforms.reporting.layout import Facts, Page, pages_of
from transforms.reporting.tables import html_page, rtf_page
from transforms.results.engine import analyse
from transforms.results.selection import empty_frame
from transforms.study import Study
from transforms.study.analyses import SUPPLEMENTAL

FACTS = Facts("x", "A study", "0" * 20, CUT_OFF, "SYNTHETIC")
UNDOSED = {"ACTARMCD": None, "ACTARM": None, "RFSTDTC": None, "RFXSTDTC": None}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.load("ucmsc_dac")


def outputs(study: Study, records: dict[str, list[dict[str, Any]]], folder: Path) -> tuple[Derived, dict[str, Page]]:
    """Every output of such records, written in every form; a warning of a library is an error."""
    sdtm = frames(study, records)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        derived = derive_study(study, sdtm, cut_off=CUT_OFF)
        assert study.results is not None
        read: dict[str, pd.DataFrame] = {
            name: derived.datasets[name].frame
            if name in derived.datasets
            else sdtm.get(name, empty_frame(SUPPLEMENTAL))
            for name in study.results.datasets()
        }
        keys = {name: pipeline.keys_of(study, name) or pipeline.SUPPLEMENTAL_KEYS for name in read}
        found = analyse(study.results, read, keys)
        needed = {name: sdtm[name] for name in ("DM", "EX", "AE", "SUPPAE") if name in sdtm}
        tables = assess(study, needed, None, [], date.fromisoformat(CUT_OFF)).tables
        gate = {name: table.to_pylist() for name, table in tables.items()}
        pages = {page.output_id: page for page in pages_of(found.outputs, found.results, gate=gate)}
        for page in pages.values():
            svg, picture = "", None
            if page.kind == "figure":
                figure = drawn(page, FACTS)
                svg, picture = figure.svg, folder / f"{page.name}.png"
                picture.write_bytes(figure.png)
            html_page(page, FACTS, svg)
            rtf_page(page, FACTS, picture)
    texts = {str(row["text"]) for row in found.results.to_pylist()}
    assert not texts & {"nan", "inf", "-inf", "None", "NaT"}
    return derived, pages


def cells(page: Page, label: str) -> list[tuple[str, ...]]:
    return [row.cells for row in page.rows if row.label == label]


def test_nobody(study: Study, tmp_path: Path) -> None:
    _, pages = outputs(study, {}, tmp_path)
    assert cells(pages["T14.3.1"], "Subjects, n (%)") == [("0", "0", "0", "0")] * 9
    assert set(cells(pages["T14.3.1"], "Exact 95% CI (%)")) == {("(NE, NE)",) * 4}
    assert [row.label for row in pages["T14.3.6.2"].rows] == ["No serious adverse event"]


def samples(number: str, *tests: str, days: tuple[int, ...] = (0, 30)) -> list[dict[str, Any]]:
    values = {"BILI": 40.0, "INR": 1.4, "CREAT": 80.0, "ALB": 33.0, "ALT": 40.0}
    return [result(test, values[test], day(one), number, accession=f"{number}/{one}") for one in days for test in tests]


def test_subjects_of_whom_something_is_missing(study: Study, tmp_path: Path) -> None:
    everything = ("BILI", "INR", "CREAT", "ALB", "ALT")
    graft = {"USUBJID": "1003", "PRTRT": "LT", "PRCAT": "TRANSPLANT", "PRSTDTC": day(100, "")}
    dialysis = {"USUBJID": "1006", "PRTRT": "CRRT", "PRCAT": "RENAL REPLACEMENT", "PRSTDTC": day(29, "")}
    event = {"AEDECOD": "Fever", "AEBODSYS": "General disorders and administration site conditions", "AESER": "Y"}
    untimed = {"RFSTDTC": "2022-07-01", "RFXSTDTC": "2022-07-01"}
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [
            subject("1001", **UNDOSED),
            subject("1002", DTHFL="Y", DTHDTC="2022-07-01"),  # on day 1
            subject("1003", DTHFL="Y", DTHDTC=day(100, "")),  # on the day of a transplant
            subject("1004"),  # without a weight the dose per kg is not known
            subject("1005"),  # without INR
            subject("1006"),  # dialysed
            subject("1007", **untimed),  # the infusion has no time
        ],
        "EX": [
            *(infusion(number) for number in ("1002", "1003", "1005", "1006")),
            infusion("1004", dose=None),  # type: ignore[arg-type]
            infusion("1007", "2022-07-01", EXSCAT="INITIAL ADMINISTRATION", EXENDTC="2022-07-01"),
        ],
        "DS": [end_of_treatment(number) for number in ("1002", "1003", "1004", "1005", "1006", "1007")],
        "LB": [
            *samples("1003", *everything),
            *samples("1005", "BILI", "CREAT", "ALB"),
            *samples("1006", *everything),
            *samples("1007", *everything, days=(-1, 0, 30)),
        ],
        "PR": [graft, dialysis],
        "AE": [
            {**event, "USUBJID": "1002", "AETERM": "发热", "AESTDTC": None, "AEREL": None, "AETOXGR": "5"},
            {**event, "USUBJID": "1007", "AETERM": "发热", "AESTDTC": day(2), "AEREL": "NOT RELATED", "AETOXGR": "1"},
            {**event, "USUBJID": "1001", "AETERM": "FEVER", "AESTDTC": day(2), "AEREL": "RELATED", "AETOXGR": "1"},
        ],
    }
    derived, pages = outputs(study, records, tmp_path)
    # 0.5 x 10^6 cells/kg: six dosed, of whom two died; two events, one of them related since nobody assessed it.
    assert cells(pages["T14.3.1"], "Subjects, n (%)")[:2] == [
        ("2 (33.3%)", "0", "0", "2 (33.3%)"),
        ("1 (16.7%)", "0", "0", "1 (16.7%)"),
    ]
    deaths = cells(pages["T14.2.5"], "Events")
    assert deaths[0][0] == "2 (33.3%)"
    assert len(deaths) == 3
    assert {row.cells[1] for row in pages["T14.3.6.2"].rows if row.cells} == {"发热"}
    tte = plain(derived, "ADTTE").set_index(["USUBJID", "PARAMCD"])
    assert tte.loc[("1002", "OSFD"), ["AVAL", "CNSR"]].tolist() == [1, 0], "who dies on day 1 lived one day"
    assert tte.loc[("1003", "TFSLD"), ["AVAL", "EVNTDESC"]].tolist() == [101, "LIVER TRANSPLANT"]
    assert ("1001", "OSFD") not in tte.index
    adeff = plain(derived, "ADEFF")
    scores = adeff[adeff["PARAMCD"] == "MELD"].groupby("USUBJID", observed=True)["AVAL"].max().to_dict()
    # By hand, with bilirubin 40, INR 1.4, creatinine 80: 0.32121 + 0.37685 + 0.643; dialysed, 1.32669 more.
    assert scores == {"1003": 13, "1006": 27, "1007": 13}
    adlb = plain(derived, "ADLB")
    own = adlb[(adlb["USUBJID"] == "1007") & (adlb["PARAMCD"] == "BILI") & adlb["DTYPE"].isna()].set_index("ADY")
    assert own["AVISIT"].to_dict() == {-1: "Baseline", 1: None, 30 + 1: "Month 1"}, "whole days decide without a time"
    adae = plain(derived, "ADAE").set_index("USUBJID")["TRTEMFL"].to_dict()
    assert adae == {"1001": None, "1002": "Y", "1007": "Y"}


def test_shift_tables_and_peaks_take_the_worst_usable_result(study: Study, tmp_path: Path) -> None:
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [subject()],
        "EX": [infusion()],
        "LB": [
            result("ALT", 40, day(0), high=50),
            result("ALT", 200, day(8), high=50),
            result("ALT", 210, day(15)),  # without limits it has neither grade nor indicator
            result("AST", 40, day(0), high=40),
            result("AST", 900, day(8), high=40, LBSPCUFL="N"),  # haemolysed
            result("AST", 50, day(15), high=40),
            result("BILI", 20, day(0), high=26),
            result("BILI", 30, day(8), high=26),
        ],
    }
    _, pages = outputs(study, records, tmp_path)
    rows = pages["T14.3.8.4"].rows
    assert rows[0].label == "Alanine aminotransferase increased"
    assert cells(pages["T14.3.8.4"], "Grade 0")[0] == ("0", "0", "1 (100.0%)", "0", "0")
    indicators = pages["T14.3.8.2"]
    assert [one.text for one in indicators.headings[0]][1:] == ["Low", "Normal", "High", "Not known"]
    assert cells(indicators, "Normal")[0] == ("0", "0", "1 (100.0%)", "0")
    peaks = {one["analysis_id"]: one["text"] for one in pages["F14.3.9"].results}
    assert [peaks["transaminases"], peaks["bilirubin"]] == ["5.25", "1.5"]


def test_the_tables_of_events_agree_whatever_is_missing_of_an_event(study: Study, tmp_path: Path) -> None:
    event = {"AEDECOD": "Fever", "AEBODSYS": "General disorders and administration site conditions", "AETERM": "X"}
    numbers = ("1001", "1002", "1003")
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [subject(number) for number in numbers],
        "EX": [infusion(number) for number in numbers],
        "AE": [
            {**event, "USUBJID": "1001", "AESTDTC": day(2), "AETOXGR": None},
            {**event, "USUBJID": "1002", "AESTDTC": day(2), "AETOXGR": "2"},
            {**event, "USUBJID": "1003", "AESTDTC": day(2), "AETOXGR": "1", "AEDECOD": None, "AEBODSYS": None},
        ],
    }
    _, pages = outputs(study, records, tmp_path)
    assert cells(pages["T14.3.1"], "Subjects, n (%)")[1][0] == "3 (100.0%)"
    for name, label in {"T14.3.2": "Any adverse event", "T14.3.3": "Any related adverse event"}.items():
        assert cells(pages[name], label)[0][:2] == ("3 (100.0%)", "3")
        assert cells(pages[name], "Grade not known")[0][:2] == ("1 (33.3%)", "1")
        assert cells(pages[name], "Not coded")[0][:2] == ("1 (33.3%)", "1")


def test_rows_of_survival_and_of_planned_visits_do_not_depend_on_the_data(study: Study, tmp_path: Path) -> None:
    pulse = {"USUBJID": "1001", "VSTESTCD": "PULSE", "VSTEST": "Pulse Rate", "VSSTRESN": 70}
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [subject()],
        "EX": [infusion()],
        "VS": [
            {**pulse, "VSDTC": day(7), "VISIT": "DAY 8", "VISITNUM": 4},
            {**pulse, "VSDTC": day(9), "VISIT": "UNSCHEDULED 4.01", "VISITNUM": 4.01},
        ],
    }
    _, pages = outputs(study, records, tmp_path)
    assert len(cells(pages["T14.2.5"], "Censored when lost to follow-up, n (%)")) == 3, "although nobody was lost"
    assert [row.label for row in pages["T14.3.9.2"].rows if row.heading] == ["Pulse Rate", "DAY 8"]
