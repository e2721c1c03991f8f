"""ADaM of the reference study by a second route: plain Python on SDTM of the last messy cut, from the definitions.

Nothing of transforms/ computes here: dates are texts, scores are formulas, windows are numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from synthetic.__main__ import main
from tests.mapped import map_landing
from transforms.adam.engine import derive_study
from transforms.core import text
from transforms.study import Study

Row = dict[str, Any]
CUT_OFF = "2025-01-31"


@dataclass(frozen=True)
class Both:
    """SDTM records as plain rows, and the analysis datasets derived from the same records."""

    sdtm: dict[str, list[Row]]
    adam: dict[str, pd.DataFrame]

    def of(self, dataset: str, subject: str, **where: str) -> list[Row]:
        return [
            row
            for row in self.sdtm[dataset]
            if row["USUBJID"] == subject and all(row[name] == value for name, value in where.items())
        ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("messy")
    assert main(["--out", str(folder), "--series", "--faults", "messy"]) in {0, None}
    study = Study.load("ucmsc_dac")
    mapped = map_landing(study, folder / "S4" / "landing", folder / "home")
    frames = {
        name: frame.assign(**{one: text.from_values(frame[one]) for one in frame if frame[one].dtype == object})
        for name, frame in mapped.datasets.items()
    }
    derived = derive_study(study, frames, cut_off=CUT_OFF)
    return Both(
        {name: [_plain(row) for row in frame.to_dict("records")] for name, frame in mapped.datasets.items()},
        {name: _objects(dataset.frame) for name, dataset in derived.datasets.items()},
    )


def _plain(row: Row) -> Row:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def _objects(frame: pd.DataFrame) -> pd.DataFrame:
    plain = frame.astype(object)
    return plain.where(plain.notna(), None)


def days(later: str, earlier: str) -> int:
    return (date.fromisoformat(later[:10]) - date.fromisoformat(earlier[:10])).days


def doses(both: Both, subject: str) -> list[str]:
    return sorted(row["EXSTDTC"] for row in both.of("EX", subject))


def last_dose(both: Both, subject: str) -> str:
    return max(row["EXENDTC"] or row["EXSTDTC"] for row in both.of("EX", subject))


def treatment_closed(both: Both, subject: str) -> bool:
    return any(
        row["DSSCAT"] == "STUDY TREATMENT" or row["DSDECOD"] == "DSMB DID NOT CLEAR REPEAT ADMINISTRATION"
        for row in both.of("DS", subject)
    )


def visit_of(both: Both, subject: str, at: str) -> str | None:
    """The analysis visit of a moment after the first dose."""
    given = doses(both, subject)
    after_last = days(at, last_dose(both, subject))
    if after_last >= 26:
        if not treatment_closed(both, subject):
            return None
        months = (("Month 1", 60), ("Month 3", 136), ("Month 6", 273), ("Month 12", 456))
        return next((name for name, last in months if after_last <= last), None)
    if len(given) > 1 and (at >= given[1] if len(at) > 10 else at >= given[1][:10]):
        return None
    after_first = days(at, given[0])
    windows = (("Day 8", 4, 10), ("Day 15", 11, 17), ("Day 22", 18, 25))
    return next((name for name, low, high in windows if low <= after_first <= high), None)


TARGETS = {"Month 1": 30, "Month 3": 91, "Month 6": 182, "Month 12": 365, "Day 8": 7, "Day 15": 14, "Day 22": 21}


def changes(both: Both, values: dict[str, list[tuple[str, str, float, float]]]) -> dict[tuple[str, str], float]:
    """Change from baseline at each visit, of (moment, visit name, sequence, value) of each subject."""
    result = {}
    for subject, several in values.items():
        given = doses(both, subject)
        if not given:
            continue
        start = given[0]
        # On day 1 a form without a time was completed before the infusion.
        before = [
            one
            for one in several
            if (one[0] <= start if len(one[0]) > 10 else one[0] < start[:10] or one[1] == "DAY 1")
        ]
        if not before:
            continue
        base = max(before, key=lambda one: (one[0], one[2]))
        chosen: dict[str, tuple[Any, ...]] = {}
        for at, name, sequence, value in several:
            after = at > start if len(at) > 10 else at > start[:10]
            visit = visit_of(both, subject, at) if after and (at, name, sequence, value) != base else None
            if visit is None:
                continue
            anchor = last_dose(both, subject) if visit.startswith("Month") else start
            rank = (name == visit.upper(), -abs(days(at, anchor) - TARGETS[visit]), at[:10], at, sequence)
            if visit not in chosen or rank > chosen[visit][0]:
                chosen[visit] = (rank, value)
        result |= {(subject, visit): value - base[3] for visit, (_, value) in chosen.items()}
    return result


def of_adeff(both: Both, name: str) -> dict[tuple[str, str], float]:
    rows = both.adam["ADEFF"]
    rows = rows[(rows["PARAMCD"] == name) & (rows["ANL01FL"] == "Y") & (rows["AVISIT"] != "Baseline")]
    rows = rows[rows["CHG"].notna()]
    return dict(zip(zip(rows["USUBJID"], rows["AVISIT"], strict=True), rows["CHG"], strict=True))


def usable(both: Both, test: str) -> dict[str, list[Row]]:
    """Results of a test by subject that may be analysed; one below its limit counts as half of it."""
    found: dict[str, list[Row]] = {}
    for row in both.sdtm["LB"]:
        if row["LBTESTCD"] != test or row["LBSTAT"] == "NOT DONE" or row["LBSPCUFL"] == "N" or not row["LBDTC"]:
            continue
        value = row["LBSTRESN"]
        if value is None and (row["LBSTRESC"] or "").startswith("<") and row["LBSTRESC"][1:2] != "=":
            value = float(row["LBSTRESC"][1:]) / 2
        if value is not None:
            found.setdefault(row["USUBJID"], []).append({**row, "value": value})
    return found


def seconds_apart(one: str, other: str) -> float:
    """Seconds between two moments; of a date without time nobody can say."""
    if min(len(one), len(other)) <= 10:
        return math.inf
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())


def melds(both: Both) -> dict[str, list[tuple[str, str, float, float]]]:
    """MELD(i) at each INR: Kamath's coefficients, bounded inputs, whole numbers from 6 to 40; one of a moment."""
    inr, bili, creat = (usable(both, test) for test in ("INR", "BILI", "CREAT"))
    found: dict[str, list[tuple[str, str, float, float]]] = {}
    for subject, several in inr.items():
        of_moment: dict[str, tuple[Any, ...]] = {}
        for one in several:

            def component(rows: list[Row], one: Row = one) -> Row | None:
                near = [row for row in rows if abs(days(row["LBDTC"], one["LBDTC"])) <= 3]
                return min(
                    near,
                    key=lambda row: (
                        row["LBREFID"] != one["LBREFID"],
                        abs(days(row["LBDTC"], one["LBDTC"])),
                        seconds_apart(row["LBDTC"], one["LBDTC"]),
                        -days(row["LBDTC"], one["LBDTC"]),
                        [-ord(letter) for letter in row["LBDTC"][:10]],
                        -row["LBSEQ"],
                    ),
                    default=None,
                )

            parts = [component(bili.get(subject, [])), component(creat.get(subject, []))]
            if None in parts:
                continue
            b, c = (part for part in parts if part is not None)
            dialysed = any(
                row["PRSTDTC"][:10] <= one["LBDTC"][:10] and days(one["LBDTC"], row["PRENDTC"] or row["PRSTDTC"]) <= 7
                for row in both.of("PR", subject, PRCAT="RENAL REPLACEMENT")
            )
            creatinine = 4.0 if dialysed else min(max(c["value"] / 88.4, 1.0), 4.0)
            raw = 10 * (
                0.957 * math.log(creatinine)
                + 0.378 * math.log(max(b["value"] / 17.1, 1.0))
                + 1.120 * math.log(max(one["value"], 1.0))
                + 0.643
            )
            whole = min(max(math.floor(round(raw, 9) + 0.5), 6), 40)
            latest = max((one, b, c), key=lambda row: row["LBDTC"])
            score = (latest["LBDTC"], one["VISIT"], latest["LBSEQ"], float(whole))
            rank = (one["LBREFID"] == b["LBREFID"] and b["LBREFID"] is not None, one["LBDTC"], one["LBSEQ"], score)
            of_moment[latest["LBDTC"]] = max(of_moment.get(latest["LBDTC"], rank), rank)
        if of_moment:
            found[subject] = [rank[-1] for rank in of_moment.values()]
    return found


def test_meld_at_every_sample(both: Both) -> None:
    rows = both.adam["ADEFF"]
    rows = rows[rows["PARAMCD"] == "MELD"]
    ours = sorted(
        (subject, at.strftime("%Y-%m-%d"), value)
        for subject, at, value in zip(rows["USUBJID"], rows["ADT"], rows["AVAL"], strict=True)
    )
    theirs = sorted(
        (subject, at[:10], value) for subject, several in melds(both).items() for at, _, _, value in several
    )
    assert len(theirs) > 300
    assert ours == theirs


def forms(both: Both, test: str) -> dict[str, list[tuple[str, str, float, float]]]:
    found: dict[str, list[tuple[str, str, float, float]]] = {}
    for row in both.sdtm["RS"]:
        if row["RSTESTCD"] == test and row["RSSTRESN"] is not None:
            found.setdefault(row["USUBJID"], []).append((row["RSDTC"], row["VISIT"], row["RSSEQ"], row["RSSTRESN"]))
    return found


@pytest.mark.parametrize(("parameter", "test"), [("MELD", ""), ("KPS", "KPSS0101"), ("CPTOT", "CPS0106")])
def test_change_from_baseline_at_every_visit(both: Both, parameter: str, test: str) -> None:
    theirs = changes(both, forms(both, test) if test else melds(both))
    assert {visit for _, visit in theirs} == set(TARGETS) - ({"Day 8", "Day 15"} if test else set())
    assert of_adeff(both, parameter) == theirs


@dataclass(frozen=True)
class Event:
    """An adverse event as the definitions see it: its start, imputed, and whether it is treatment-emergent."""

    row: Row
    start: str | None
    emergent: bool

    @property
    def related(self) -> bool:
        return self.row["AEREL"] not in {"UNLIKELY RELATED", "NOT RELATED"}


def adverse_events(both: Both) -> list[Event]:
    dm = {row["USUBJID"]: row for row in both.sdtm["DM"]}
    result = []
    for row in both.sdtm["AE"]:
        subject = dm[row["USUBJID"]]
        collected, first = row["AESTDTC"], subject["RFXSTDTC"]
        ended = [
            one["DSSTDTC"]
            for one in both.of("DS", row["USUBJID"], DSSCAT="STUDY PARTICIPATION")
            if one["DSDECOD"] != "SCREEN FAILURE"
        ]
        start = collected
        if collected is not None and len(collected) < 10:
            if first and first.startswith(collected):
                start = first[:10]
            else:
                start = f"{collected}-01" if len(collected) == 7 else f"{collected}-01-01"
            start = max(start, subject["RFICDTC"][:10])
            if row["AEENDTC"]:
                start = min(start, row["AEENDTC"][:10])
            # What was collected is kept, whatever contradicts it.
            rest = ("-01", "-31") if len(collected) == 7 else ("-01-01", "-12-31")
            start = min(max(start, collected + rest[0]), collected + rest[1])
        if first is None:
            emergent = False
        elif start is None:
            emergent = True
        else:
            began = start >= first if len(start) > 10 else start >= first[:10]
            emergent = began and (not ended or start[:10] <= min(ended)[:10])
        result.append(Event(row, start, emergent))
    before = [
        one for one in result if one.start is not None and not one.emergent and dm[one.row["USUBJID"]]["RFXSTDTC"]
    ]
    for number, one in enumerate(result):
        same = [
            other
            for other in before
            if other.row["USUBJID"] == one.row["USUBJID"] and other.row["AEDECOD"] == one.row["AEDECOD"]
        ]
        if one.emergent and one.start is not None:
            going_on = [
                other for other in same if other.row["AEENDTC"] is None or days(one.start, other.row["AEENDTC"]) <= 1
            ]
            if going_on and int(one.row["AETOXGR"]) <= max(int(other.row["AETOXGR"]) for other in going_on):
                result[number] = Event(one.row, one.start, False)
    return result


def test_adverse_events_emergence_causality_and_occurrence(both: Both) -> None:
    adae = both.adam["ADAE"].set_index(["USUBJID", "AESEQ"])
    theirs = adverse_events(both)
    keys = [(one.row["USUBJID"], one.row["AESEQ"]) for one in theirs]
    assert set(keys) == set(adae.index)
    assert {key for key, one in zip(keys, theirs, strict=True) if one.emergent} == set(
        adae.index[adae["TRTEMFL"] == "Y"]
    )
    assert {key for key, one in zip(keys, theirs, strict=True) if one.related} == set(
        adae.index[adae["AREL"] == "RELATED"]
    )
    assert {key for key, one in zip(keys, theirs, strict=True) if one.related and one.row["AEREL"] is not None} == set(
        adae.index[adae["AREL2"] == "RELATED"]
    )

    def first(by: tuple[str, ...], *, worst: bool = False, related: bool = False) -> set[tuple[str, float]]:
        found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for key, one in zip(keys, theirs, strict=True):
            if not one.emergent or (related and not one.related):
                continue
            group = tuple(one.row[name] for name in ("USUBJID", *by))
            rank = (-int(one.row["AETOXGR"]) if worst else 0, (one.start or "9999")[:10], one.row["AESEQ"])
            if group not in found or rank < found[group][0]:
                found[group] = (rank, key)
        return {key for _, key in found.values()}

    flags = {
        "AOCCFL": first(()),
        "AOCCSFL": first(("AEBODSYS",)),
        "AOCCPFL": first(("AEBODSYS", "AEDECOD")),
        "AOCCIFL": first((), worst=True),
        "AOCCSIFL": first(("AEBODSYS",), worst=True),
        "AOCCPIFL": first(("AEBODSYS", "AEDECOD"), worst=True),
        "AOCC01FL": first((), related=True),
        "AOCC02FL": first((), worst=True, related=True),
    }
    for name, expected in flags.items():
        assert expected
        assert set(adae.index[adae[name] == "Y"]) == expected, name


def test_survival_times(both: Both) -> None:
    rows = both.adam["ADTTE"].set_index(["USUBJID", "PARAMCD"])
    contacts = {
        "EX": "EXENDTC",
        "LB": "LBDTC",
        "VS": "VSDTC",
        "RS": "RSDTC",
        "QS": "QSDTC",
        "AE": "AESTDTC",
        "CM": "CMSTDTC",
        "SV": "SVENDTC",
    }
    compared = 0
    for subject in both.sdtm["DM"]:
        number = subject["USUBJID"]
        given = doses(both, number)
        if not given:
            assert number not in rows.index.get_level_values(0)
            continue
        death = subject["DTHDTC"]
        seen = [
            row[variable][:10]
            for dataset, variable in contacts.items()
            for row in both.of(dataset, number)
            if row[variable] and len(row[variable]) >= 10
        ]
        alive = max(one for one in seen if one <= min(CUT_OFF, death or CUT_OFF))
        if death is not None and len(death) == 7:
            death = max(f"{death}-01", (date.fromisoformat(alive) + timedelta(1)).isoformat())
        grafts = sorted(row["PRSTDTC"] for row in both.of("PR", number, PRCAT="TRANSPLANT"))
        for name, origin in (("OSLD", last_dose(both, number)), ("OSFD", given[0])):
            row = rows.loc[(number, name)]
            assert row["AVAL"] == days(death or alive, origin) + 1, (number, name)
            assert (row["CNSR"] == 0) == (death is not None), (number, name)
            compared += 1
        end = min([*grafts, *([death] if death else [])], default=alive)
        assert rows.loc[(number, "TFSLD"), "AVAL"] == days(end, last_dose(both, number)) + 1, number
    assert compared == 72


def test_what_is_derived_is_what_was_there(both: Both) -> None:
    """Each dataset has the records that its definition asks for, counted from SDTM."""
    dosed = {row["USUBJID"] for row in both.sdtm["EX"]}
    assert len(both.adam["ADSL"]) == len(both.sdtm["DM"])
    assert len(both.adam["ADAE"]) == len(both.sdtm["AE"])
    assert len(both.adam["ADTTE"]) == 5 * len(dosed)
    adlb = both.adam["ADLB"]
    collected = adlb[adlb["PARAMTYP"].isna() & ~adlb["DTYPE"].isin(["MAXIMUM", "MINIMUM"])]
    assert len(collected) == sum(row["LBSTAT"] != "NOT DONE" for row in both.sdtm["LB"])
    adeff = both.adam["ADEFF"]
    assert len(adeff[adeff["PARAMTYP"].isna()]) == sum(row["RSSTAT"] != "NOT DONE" for row in both.sdtm["RS"])
