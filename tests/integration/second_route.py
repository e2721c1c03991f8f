"""Tables of the reference study a second time, from its SDTM datasets alone.

Written from the study's statistical specification in plain Python: it reads neither the analysis datasets nor anything
of transforms/, and shares no function with it. Dates are compared as ISO 8601 texts and counted by `datetime.date`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Row = dict[str, Any]
ARMS = ("UC05", "UC10", "UC20")
MONTHS = {"Month 1": (26, 60, 30), "Month 3": (61, 136, 91), "Month 6": (137, 273, 182), "Month 12": (274, 456, 365)}
NOT_RELATED = {"UNLIKELY RELATED", "NOT RELATED"}
NORMAL_975 = 1.959963984540054


def day(iso: str) -> date:
    """The day of a complete ISO 8601 date or datetime."""
    return date.fromisoformat(iso[:10])


class SecondRoute:
    """The SDTM datasets of one snapshot, and what is counted from them."""

    def __init__(self, folder: Path, cut_off: str) -> None:
        self.cut_off = cut_off
        self.rows = {path.stem.upper(): pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}
        self.subjects = {row["USUBJID"]: row for row in self.rows["DM"]}
        self.first: dict[str, str] = {}
        self.last: dict[str, str] = {}
        for row in self.rows["EX"]:
            subject, start = row["USUBJID"], row["EXSTDTC"]
            end = row["EXENDTC"] or start
            self.first[subject] = min(self.first.get(subject, start), start)
            self.last[subject] = max(self.last.get(subject, end), end)
        self.transplant = {
            row["USUBJID"]: row["PRSTDTC"][:10] for row in self.rows["PR"] if row["PRCAT"] == "TRANSPLANT"
        }

    def arms(self, subject: str) -> tuple[str, str]:
        """The columns a dosed subject stands in."""
        return self.subjects[subject]["ACTARMCD"], "TOTAL"

    def sizes(self) -> dict[str, int]:
        """Dosed subjects of each column."""
        found: dict[str, int] = defaultdict(int)
        for subject in self.first:
            for arm in self.arms(subject):
                found[arm] += 1
        return dict(found)

    def emergent(self) -> Iterator[Row]:
        """Adverse events that began after the first dose; on its day without a time, they count as after."""
        ends = {
            row["USUBJID"]: row["DSSTDTC"][:10]
            for row in self.rows["DS"]
            if row["DSSCAT"] == "STUDY PARTICIPATION" and row["DSDECOD"] != "SCREEN FAILURE"
        }
        for row in self.rows["AE"]:
            subject, start = row["USUBJID"], row["AESTDTC"]
            if subject not in self.first:
                continue
            assert len(start) >= 10, "complete dates only: this route imputes nothing"
            dose = self.first[subject]
            after = start >= dose if len(start) > 10 else start >= dose[:10]
            if after and start[:10] <= ends.get(subject, "9999"):
                yield row

    def related(self) -> dict[tuple[str, str, str, str], tuple[int, int]]:
        """Related events: subjects and events by column, class, term and highest grade; empty texts stand for any."""
        events: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row in self.emergent():
            if row["AEREL"] in NOT_RELATED:
                continue
            for arm in self.arms(row["USUBJID"]):
                for key in ((arm, "", ""), (arm, row["AEBODSYS"], ""), (arm, row["AEBODSYS"], row["AEDECOD"])):
                    events[key][row["USUBJID"]].append(int(row["AETOXGR"]))
        counted = {}
        for key, subjects in events.items():
            counted[(*key, "")] = (len(subjects), sum(len(grades) for grades in subjects.values()))
            for grade in range(1, 6):
                worst = [grades for grades in subjects.values() if max(grades) == grade]
                if worst:
                    counted[(*key, str(grade))] = (len(worst), sum(g.count(grade) for g in worst))
        return counted

    def scores(self, name: str) -> dict[str, list[tuple[str, str, float]]]:
        """Values of a score of each subject: moment, visit, value."""
        found: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
        if name == "MELD":
            for subject, moment, visit, value in self._meld():
                found[subject].append((moment, visit, value))
            return found
        code = {"CPTOT": "CPS0106", "KPS": "KPSS0101"}[name]
        for row in self.rows["RS"]:
            if row["RSTESTCD"] == code and row["RSSTRESN"] is not None:
                found[row["USUBJID"]].append((row["RSDTC"], row["VISIT"], row["RSSTRESN"]))
        return found

    def _meld(self) -> Iterator[tuple[str, str, str, float]]:
        """MELD(i) of UNOS/OPTN at each INR, with bilirubin and creatinine of its sample or the nearest in 3 days."""
        results: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows["LB"]:
            if row["LBTESTCD"] in {"BILI", "INR", "CREAT"} and row["LBSTRESN"] is not None:
                results[row["USUBJID"], row["LBTESTCD"]].append(row)
        dialyses = defaultdict(list)
        for row in self.rows["PR"]:
            if row["PRCAT"] == "RENAL REPLACEMENT":
                dialyses[row["USUBJID"]].append((day(row["PRSTDTC"]), day(row["PRENDTC"])))
        for subject in self.first:
            for sample in results[subject, "INR"]:
                taken = day(sample["LBDTC"])
                parts = [self._nearest(results[subject, code], sample) for code in ("BILI", "CREAT")]
                if None in parts:
                    continue
                moment = max(one["LBDTC"] for one in (sample, *parts) if one)
                dialysed = any(start <= taken and (taken - end).days <= 7 for start, end in dialyses[subject])
                bilirubin, creatinine = (one["LBSTRESN"] for one in parts if one)
                bilirubin = max(bilirubin / 17.1, 1.0)
                creatinine = 4.0 if dialysed else min(max(creatinine / 88.4, 1.0), 4.0)
                inr = max(sample["LBSTRESN"], 1.0)
                inner = 0.957 * math.log(creatinine) + 0.378 * math.log(bilirubin) + 1.120 * math.log(inr) + 0.643
                score = min(max(math.floor(10 * inner + 0.5 + 1e-9), 6), 40)
                yield subject, moment, sample["VISIT"], float(score)

    @staticmethod
    def _nearest(rows: list[Row], sample: Row) -> Row | None:
        days = [
            (row["LBREFID"] != sample["LBREFID"], abs((day(row["LBDTC"]) - day(sample["LBDTC"])).days), place)
            for place, row in enumerate(rows)
        ]
        fitting = [one for one in days if one[1] <= 3]
        return rows[min(fitting)[2]] if fitting else None

    def changes(self, name: str) -> dict[tuple[str, str], list[float]]:
        """Changes from baseline by column and month, before any transplant: one value for each subject and month."""
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for subject, values in self.scores(name).items():
            if subject not in self.first:
                continue
            before = [one for one in values if self._is_before(one, self.first[subject])]
            if not before:
                continue
            baseline = max(before)[2]
            for month, (low, high, target) in MONTHS.items():
                chosen = self._at(subject, values, month, low, high, target)
                if chosen is not None:
                    for arm in self.arms(subject):
                        found[arm, month].append(chosen - baseline)
        return found

    @staticmethod
    def _is_before(one: tuple[str, str, float], dose: str) -> bool:
        """Before the first dose; without a time on its day only at the visit of that day."""
        moment, visit, _ = one
        if len(moment) > 10:
            return moment <= dose
        return moment < dose[:10] or (moment == dose[:10] and visit == "DAY 1")

    def _at(
        self, subject: str, values: list[tuple[str, str, float]], month: str, low: int, high: int, target: int
    ) -> float | None:
        last = day(self.last[subject])
        fitting = []
        for moment, visit, value in values:
            elapsed = (day(moment) - last).days
            if low <= elapsed <= high:
                planned = visit == month.upper()
                fitting.append((not planned, abs(elapsed - target), [-ord(one) for one in moment], moment, value))
        if not fitting:
            return None
        _, _, _, moment, value = min(fitting)
        # The record of the visit is chosen first; one after a transplant is then left out.
        return None if moment[:10] > self.transplant.get(subject, "9999") else value

    def survival(self) -> dict[str, list[tuple[int, bool]]]:
        """Days from the last dose to death or to the last day known alive, the day of the dose being 1, by column."""
        alive: dict[str, str] = {}
        contacts = (
            ("EX", "EXENDTC"), ("LB", "LBDTC"), ("VS", "VSDTC"), ("RS", "RSDTC"), ("QS", "QSDTC"), ("AE", "AESTDTC"),
            ("CM", "CMSTDTC"), ("SV", "SVENDTC"),
        )  # fmt: skip
        for dataset, name in contacts:
            for row in self.rows[dataset]:
                moment = (row[name] or "")[:10]
                dead = self.subjects[row["USUBJID"]]["DTHDTC"]
                if len(moment) == 10 and moment <= min(self.cut_off, (dead or "9999")[:10]):
                    alive[row["USUBJID"]] = max(alive.get(row["USUBJID"], ""), moment)
        found: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for subject in self.first:
            dead = self.subjects[subject]["DTHDTC"]
            end = dead or alive[subject]
            days = (day(end) - day(self.last[subject])).days + 1
            for arm in self.arms(subject):
                found[arm].append((days, bool(dead)))
        return found


def product_limit(data: list[tuple[int, bool]], at: int) -> tuple[float, float | None, float | None]:
    """Kaplan and Meier's estimate at a time and the interval of log(-log S), by the textbook formula."""
    estimate, variance = 1.0, 0.0
    for time in sorted({days for days, dead in data if dead and days <= at}):
        risk = sum(days >= time for days, _ in data)
        deaths = sum(dead and days == time for days, dead in data)
        estimate *= 1 - deaths / risk
        variance += deaths / (risk * (risk - deaths)) if risk > deaths else 0.0
    if estimate in {0.0, 1.0}:
        return estimate, None, None
    width = NORMAL_975 * math.sqrt(variance) / abs(math.log(estimate))
    return estimate, estimate ** math.exp(width), estimate ** math.exp(-width)


def mean_and_deviation(values: list[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation of a sample."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))
