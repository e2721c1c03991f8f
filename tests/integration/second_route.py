"""Tables of the reference study a second time, from its SDTM datasets alone.

Written from the study's statistical specification in plain Python: it reads neither the analysis datasets nor anything
of transforms/, and shares no function with it. Dates are compared as ISO 8601 texts and counted by `datetime.date`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
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


def apart(one: str, other: str) -> float:
    """Seconds between two moments; infinite where one has no time."""
    if min(len(one), len(other)) <= 10:
        return math.inf
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())


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

    def usable(self, code: str) -> dict[str, list[Row]]:
        """Results of a test of each dosed subject that may be analysed, `value` being the number.

        One below its limit counts as half of it; of an unusable specimen nothing is taken.
        """
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows["LB"]:
            value = row["LBSTRESN"]
            if value is None and (row["LBSTRESC"] or "").startswith("<"):
                value = float(row["LBSTRESC"][1:]) / 2
            if row["LBTESTCD"] == code and value is not None and row["LBSPCUFL"] != "N":
                found[row["USUBJID"]].append({**row, "value": value})
        return {subject: rows for subject, rows in found.items() if subject in self.first}

    def liver(self, code: str) -> dict[str, list[tuple[str, str, float]]]:
        """Results of a test of each subject in the order of their numbers: moment, visit, value."""
        return {
            subject: [(row["LBDTC"], row["VISIT"], row["value"]) for row in sorted(rows, key=lambda one: one["LBSEQ"])]
            for subject, rows in self.usable(code).items()
        }

    def albi(self) -> dict[str, list[tuple[str, str, float]]]:
        """Johnson's ALBI at each bilirubin, with the albumin of its sample or the nearest in 3 days."""
        bilirubin, albumin = self.usable("BILI"), self.usable("ALB")
        found: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
        for subject, rows in bilirubin.items():
            for row in rows:
                other = self._nearest(albumin.get(subject, []), row)
                if other is not None:
                    score = 0.66 * math.log10(row["value"]) - 0.085 * other["value"]
                    found[subject].append((max(row["LBDTC"], other["LBDTC"]), row["VISIT"], score))
        return found

    def full(self) -> set[str]:
        """Dosed subjects with a Child-Pugh, Karnofsky or MELD score after the first dose."""
        return {
            subject
            for name in ("MELD", "CPTOT", "KPS")
            for subject, values in self.scores(name).items()
            if subject in self.first and any(not self._is_before(one, self.first[subject]) for one in values)
        }

    def at_visits(
        self, values: dict[str, list[tuple[str, str, float]]], change: bool
    ) -> dict[tuple[str, str], list[float]]:
        """Values, or their change from baseline, by column and visit, of the full set and before any transplant."""
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for subject in self.full():
            own = values.get(subject, [])
            before = [one for one in own if self._is_before(one, self.first[subject])]
            baseline = max(enumerate(before), key=lambda one: (one[1][0], one[0]))[1][2] if before else None
            after = [one for one in own if one not in before]
            at = {month: self._at(subject, after, month, *window) for month, window in MONTHS.items()}
            if not change:
                at["Baseline"] = baseline
            for visit, value in at.items():
                if value is not None and not (change and baseline is None):
                    for arm in self.arms(subject):
                        found[arm, visit].append(value - baseline if change and baseline is not None else value)
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
        """The result of the same accession, else of the nearest day up to 3 off, of one day the nearest in time."""
        days = [
            (
                row["LBREFID"] != sample["LBREFID"],
                abs((day(row["LBDTC"]) - day(sample["LBDTC"])).days),
                apart(row["LBDTC"], sample["LBDTC"]),
                place,
            )
            for place, row in enumerate(rows)
        ]
        fitting = [one for one in days if one[1] <= 3]
        return rows[min(fitting)[-1]] if fitting else None

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


def described(values: list[float]) -> dict[str, float | None]:
    """What a summary says of a sample; the interval is Student's, of the mean. Empty without values."""
    n = len(values)
    if not n:
        return {"n": 0}
    ordered = sorted(values)
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (n - 1)) if n > 1 else None

    def quantile(quarters: int) -> float:
        """The value at a rank, the mean of two where the rank is whole (definition 5 of SAS)."""
        whole, rest = divmod(n * quarters, 4)
        return ordered[whole] if rest else (ordered[whole - 1] + ordered[whole]) / 2

    half = None if deviation is None else student_975(n - 1) * deviation / math.sqrt(n)
    return {
        "n": n,
        "mean": mean,
        "sd": deviation,
        "median": quantile(2),
        "q1": quantile(1),
        "q3": quantile(3),
        "min": ordered[0],
        "max": ordered[-1],
        "ci_low": None if half is None else mean - half,
        "ci_high": None if half is None else mean + half,
    }


def student_975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection of its finite series.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """

    def within(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        first = 1 if freedom % 2 == 0 else 2
        term, total = (1.0, 1.0) if first == 1 else (math.cos(angle), math.cos(angle))
        for step in range(first, freedom - 2, 2):
            term *= step / (step + 1) * math.cos(angle) ** 2
            total += term
        if freedom % 2 == 0:
            return math.sin(angle) * total
        return 2 / math.pi * (angle + (math.sin(angle) * total if freedom > 1 else 0.0))

    low, high = 0.0, 13.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 0.95 else (low, middle)
    return low
