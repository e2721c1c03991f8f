"""The methods an analysis may name: each takes a column and gives the results of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from transforms.core.conditions import Test
from transforms.core.numbers import number_text
from transforms.errors import InputError
from transforms.results.covariance import covariance
from transforms.results.models import repeated_measures
from transforms.results.records import Cell, Column, Level, Result, Statistic
from transforms.results.selection import On, Selection, equal
from transforms.results.statistics import DAYS_PER_MONTH as MONTH
from transforms.results.statistics import Survival, clopper_pearson, rate, signed_rank, summarize
from transforms.results.texts import decimals_of, fixed, p_value, percent
from transforms.study.results import (
    Absent,
    Count,
    Extreme,
    Listing,
    SignedRank,
    Summary,
    SurvivalAt,
    SurvivalCurve,
    TimeToEvent,
)

Method = Callable[[Any, Column], Iterator[Result]]


def count(analysis: Count, column: Column) -> Iterator[Result]:
    """Subjects and records of each cell."""
    absent = {one.label for one in analysis.absent}
    days, note = _person_days(analysis, column)
    for cell in column.cells:
        if cell.levels and cell.levels[-1].value in absent:
            continue
        positions, selection = cell.positions, cell.selection
        worst = analysis.worst and cell.levels and cell.levels[-1].variable == analysis.worst
        if worst:
            positions, selection = _at_worst(analysis, column, cell)
        subjects = len(np.unique(column.subjects[positions]))
        whole = column.size
        if analysis.denominator == "data":
            whole = len(np.unique(column.subjects[_beside(column, cell)]))
        statistics = _counted(analysis, subjects, whole, len(positions), days, note)
        yield Result(cell.levels, selection, len(positions), subjects, statistics, cell.order)
    yield from _absent_counts(analysis, column)


def _counted(
    analysis: Count, subjects: int, whole: int, events: int | None, days: float | None, note: str = ""
) -> list[Statistic]:
    share, written = percent(subjects, whole, analysis.pct_decimals)
    found = [
        Statistic("n", subjects, str(subjects)),
        Statistic("denominator", whole, str(whole)),
        Statistic("pct", share, written),
    ]
    if events is not None:
        found.append(Statistic("events", events, str(events)))
    if analysis.confidence is not None:
        low, high = clopper_pearson(subjects, whole, analysis.confidence)
        found.extend(
            Statistic(name, None if one is None else 100 * one, fixed(None if one is None else 100 * one, 1))
            for name, one in (("ci_low", low), ("ci_high", high))
        )
    if days is not None and events is not None:
        per = rate(events, days)
        found.append(Statistic("person_months", days / MONTH, fixed(days / MONTH, 1), note))
        found.append(Statistic("rate", per, fixed(per, 2)))
    return found


def _person_days(analysis: Count, column: Column) -> tuple[float | None, str]:
    """Days of observation of all subjects of the column, both ends counted, and how many could not be counted."""
    timed = analysis.person_time
    if timed is None:
        return None, ""
    adsl = column.adsl[column.group.mask]
    start, *ends = (adsl[name].to_numpy().astype("datetime64[D]") for name in (timed.start, *timed.end))
    last = np.full(len(start), np.datetime64("NaT", "D"))
    for end in ends:
        last = np.fmin(last, end)
    days = (last - start).astype("timedelta64[D]").astype(float) + 1
    unknown = np.isnat(last) | np.isnat(start) | (days < 0)
    left = int(unknown.sum())
    return float(days[~unknown].sum()), f"{left} subjects whose observation is not known add no time" if left else ""


def _at_worst(analysis: Count, column: Column, cell: Cell) -> tuple[np.ndarray, Selection]:
    """The records at the level of the worst variable of those subjects who have none above it at the other levels.

    Any value is above none.
    """
    variable, written = str(analysis.worst), cell.levels[-1].value
    beside = _beside(column, cell)
    values = column.numbers(variable, beside)
    higher = Test(present=True) if written is None else Test(above=float(written))
    above = beside[~np.isnan(values) if written is None else values > float(written)]
    worse = np.unique(column.subjects[above])
    kept = cell.positions[~np.isin(column.subjects[cell.positions], worse)]
    others = column.selection.where({one.variable: one.test for one in cell.levels[:-1] if one.test})
    return kept, cell.selection.of_subjects(others.where({variable: higher}), present=False)


def _beside(column: Column, cell: Cell) -> np.ndarray:
    """Positions of the records of a column at all levels of a cell but the last."""
    wanted = cell.levels[:-1]
    own = [one.positions for one in column.cells if one.levels[: len(wanted)] == wanted and len(one.levels) >= 1]
    return np.unique(np.concatenate(own)) if own else np.empty(0, dtype=np.int64)


def _absent_counts(analysis: Count, column: Column) -> Iterator[Result]:
    if not analysis.absent:
        return
    last = analysis.by[-1]
    order = 1 + max((one.order for one in column.cells), default=0)
    outer: list[tuple[Level, ...]] = [()]
    if len(analysis.by) == 2:
        outer = list(dict.fromkeys((one.levels[0],) for one in column.cells if one.levels))
    remaining = column.adsl.index.isin(_without_record(column)[0])
    taken: list[Selection] = []
    for absent in analysis.absent:
        chosen, selection = _of_absent(column, absent, taken)
        taken.append(selection)
        mask = remaining & chosen
        remaining &= ~chosen
        label = (last.values or {}).get(absent.label, absent.label)
        for levels in outer:
            own, at_level = mask, selection
            if levels and levels[0].test is not None:
                variable = str(analysis.absent_level)
                own = mask & levels[0].test.holds(column.adsl[variable])
                at_level = selection.where({variable: levels[0].test})
            n = int(own.sum())
            place = next(
                (
                    one.order
                    for one in column.cells
                    if one.levels == (*levels, _level(last.variable, absent.label, label))
                ),
                order,
            )
            yield Result(
                (*levels, _level(last.variable, absent.label, label)),
                at_level,
                n,
                n,
                _counted(analysis, n, column.size, None, None),
                place,
            )


def _level(variable: str, value: str, label: str) -> Level:
    return Level(variable, value, label, equal(value))


def _without_record(column: Column) -> tuple[np.ndarray, Selection]:
    """Positions in ADSL of the subjects of a column without any record in the data, and their selection."""
    has = np.unique(column.subjects[_own(column)])
    absent = np.setdiff1d(np.flatnonzero(column.group.mask), has)
    return absent, column.group.selection.of_subjects(column.selection, present=False)


def _own(column: Column) -> np.ndarray:
    return np.flatnonzero(column.selection.holds(column.frames))


def _of_absent(column: Column, absent: Absent, taken: Sequence[Selection]) -> tuple[np.ndarray, Selection]:
    """Who a reason holds for (a mask on ADSL), and the selection of those without record whom no earlier one took."""
    selection = _without_record(column)[1].where(absent.where)
    if absent.data is not None:
        selection = selection.of_subjects(column.subsets[absent.data])
    for earlier in taken:
        selection = selection.of_subjects(earlier, present=False)
    return selection.holds(column.frames), selection


def summary(analysis: Summary, column: Column) -> Iterator[Result]:
    """Summary statistics of each cell."""
    for cell in column.cells:
        values = column.numbers(analysis.variable, cell.positions)
        known = ~np.isnan(values)
        positions = cell.positions[known]
        values, note = _with_absent(analysis, column, values[known])
        found = summarize(values, analysis.confidence)
        decimals = decimals_of(analysis.decimals, column.records, positions)
        numbers = {
            "mean": found.mean, "sd": found.sd, "median": found.median, "q1": found.q1, "q3": found.q3,
            "min": found.minimum, "max": found.maximum, "ci_low": found.interval[0], "ci_high": found.interval[1],
        }  # fmt: skip
        statistics = [Statistic("n", found.n, str(found.n), note)]
        for name, value in numbers.items():
            places = decimals + analysis.precision.get(name, analysis.extra.get(name, 1))
            statistics.append(Statistic(name, value, fixed(value, max(places, 0)) if found.n else ""))
        yield column.result(cell, statistics, {analysis.variable: Test(present=True)}, positions)


def _with_absent(analysis: Summary, column: Column, values: np.ndarray) -> tuple[np.ndarray, str]:
    """The values, and those that stand for subjects without a record, with a note of how many these are."""
    notes, taken = [], list[Selection]()
    for absent in analysis.absent:
        chosen, selection = _of_absent(column, absent, taken)
        taken.append(selection)
        rows = column.adsl[chosen]
        given = np.full(len(rows), absent.value, dtype=float)
        if absent.less is not None:
            given -= rows[absent.less].to_numpy()
        given = given[~np.isnan(given)]
        values = np.concatenate([values, given])
        less = f" less {absent.less}" if absent.less else ""
        notes.append(
            f"{len(given)} subjects without record taken as {number_text(absent.value or 0)}{less}: {absent.label}"
        )
    return values, "; ".join(notes)


def time_to_event(analysis: TimeToEvent, column: Column) -> Iterator[Result]:
    """Events and quartiles of the survival time in each cell."""
    for cell in column.cells:
        survival, positions = _survival(analysis, column, cell)
        share, written = percent(survival.events, survival.n)
        statistics = [
            Statistic("n", survival.n, str(survival.n)),
            Statistic("events", survival.events, str(survival.events)),
            Statistic("censored", survival.n - survival.events, str(survival.n - survival.events)),
            Statistic("pct", share, written),
        ]
        decimals = decimals_of(analysis.decimals, column.records, positions)
        for name, part in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
            found = survival.quantile(part)
            for ending, time in (("", found.time), ("_low", found.interval[0]), ("_high", found.interval[1])):
                statistics.append(Statistic(f"{name}{ending}", time, fixed(time, decimals)))
        yield column.result(cell, statistics, _timed(analysis), positions)


def survival_at(analysis: SurvivalAt, column: Column) -> Iterator[Result]:
    """Survival at each time asked for, in each cell."""
    for cell in column.cells:
        survival, positions = _survival(analysis, column, cell)
        for number, (written, label) in enumerate(analysis.times.items()):
            time = float(written)
            estimate, error, interval = survival.at(time)
            known, alive = survival.status_at(time)
            share, share_text = percent(alive, known)
            low, high = clopper_pearson(alive, known, analysis.confidence)
            statistics = [
                _percentage("survival", estimate),
                _percentage("se", error),
                _percentage("ci_low", interval[0]),
                _percentage("ci_high", interval[1]),
                Statistic("at_risk", survival.at_risk(time), str(survival.at_risk(time))),
                Statistic("events", survival.events_until(time), str(survival.events_until(time))),
                Statistic("known", known, str(known)),
                Statistic("alive", alive, str(alive)),
                Statistic("alive_pct", share, share_text),
                _percentage("alive_low", low),
                _percentage("alive_high", high),
            ]
            result = column.result(cell, statistics, _timed(analysis), positions)
            levels = (*cell.levels, Level(analysis.time, written, label))
            yield Result(
                levels, result.selection, result.n_records, result.n_subjects, statistics,
                cell.order * len(analysis.times) + number,
            )  # fmt: skip


def survival_curve(analysis: SurvivalCurve, column: Column) -> Iterator[Result]:
    """The steps of the survival curve of each cell, and a result for each time the numbers at risk are shown at."""
    order = 0
    for cell in column.cells:
        survival, positions = _survival(analysis, column, cell)
        whole = column.result(cell, [], _timed(analysis), positions)
        if not survival.n:
            continue
        steps = survival.steps
        times = sorted({*steps["time"], *(one for one in analysis.at_risk)})
        for time in times:
            row = steps[steps["time"] <= time].iloc[-1]
            exact = row["time"] == time
            beyond = time > survival.last
            statistics = [
                _number("survival", None if beyond else row["survival"], 6),
                _number("ci_low", None if beyond else row["low"], 6),
                _number("ci_high", None if beyond else row["high"], 6),
                _number("at_risk", survival.at_risk(time), 0),
                _number("censored", row["censored"] if exact else 0, 0),
            ]
            marked = "at risk" if time in analysis.at_risk else "step"
            levels = (*cell.levels, Level(analysis.time, number_text(float(time)), marked))
            yield Result(levels, whole.selection, whole.n_records, whole.n_subjects, statistics, order)
            order += 1


def _percentage(name: str, value: float | None) -> Statistic:
    return Statistic(name, None if value is None else 100 * value, fixed(None if value is None else 100 * value, 1))


def _number(name: str, value: float | None, decimals: int) -> Statistic:
    plain = None if value is None or np.isnan(value) else float(value)
    return Statistic(name, plain, fixed(plain, decimals))


def _survival(analysis: Any, column: Column, cell: Cell) -> tuple[Survival, np.ndarray]:
    """The survival estimate of a cell, and the records it is of: those `_timed` holds for."""
    times, censored = (column.numbers(name, cell.positions) for name in (analysis.time, analysis.censor))
    kept = (times >= 0) & ~np.isnan(censored)
    positions = cell.positions[kept]
    subjects = column.subjects[positions]
    if len(np.unique(subjects)) < len(subjects):
        raise InputError(
            f"{analysis.id}: a subject has several records of {column.selection.dataset}; restrict the data to one "
            "parameter, or name it as by-variable"
        )
    return Survival(times[kept], censored[kept] == 0, analysis.confidence), positions


def _timed(analysis: Any) -> dict[str, Test]:
    """A time not below 0 and a known state; what breaks this is found by the checks of the dataset."""
    return {analysis.time: Test(at_least=0), analysis.censor: Test(present=True)}


def signed_ranks(analysis: SignedRank, column: Column) -> Iterator[Result]:
    """The signed-rank test of each cell."""
    for cell in column.cells:
        values = column.numbers(analysis.variable, cell.positions)
        positions = cell.positions[~np.isnan(values)]
        found = signed_rank(values[~np.isnan(values)])
        statistics = [
            Statistic("n", found.n, str(found.n)),
            Statistic("zeros", found.zeros, str(found.zeros)),
            Statistic("statistic", found.statistic, fixed(found.statistic, 1)),
            Statistic("p", found.p, p_value(found.p, analysis.p_values)),
        ]
        yield column.result(cell, statistics, {analysis.variable: Test(present=True)}, positions)


def extreme(analysis: Extreme, column: Column) -> Iterator[Result]:
    """The largest or smallest value of each subject in each cell."""
    order = 0
    upwards = analysis.take == "maximum"
    names = column.adsl["USUBJID"].to_numpy()
    for cell in column.cells:
        values = column.numbers(analysis.variable, cell.positions)
        for subject in np.unique(column.subjects[cell.positions]):
            own = values[(column.subjects[cell.positions] == subject) & ~np.isnan(values)]
            if not len(own):
                continue
            value = float(own.max() if upwards else own.min())
            n = int((own == value).sum())
            name = str(names[subject])
            bound = Test(at_least=value) if upwards else Test(at_most=value)
            selection = cell.selection.where({"USUBJID": equal(name), analysis.variable: bound})
            levels = (*cell.levels, Level("USUBJID", name, name))
            yield Result(levels, selection, n, 1, [Statistic("value", value, number_text(value))], order)
            order += 1


def listing(analysis: Listing, column: Column) -> Iterator[Result]:
    """Each record with the values of the columns listed; a value missing has no text."""
    positions = _own(column)
    order = _sorted(analysis, column, positions)
    texts = {one: _texts(column, one.variable, positions, one.decimals) for one in analysis.columns}
    for number, place in enumerate(order):
        position = positions[place]
        selection, identity = column.selection, []
        for key in column.keys:
            test, written = _equal(column.records[key], int(position))
            selection = selection.where({key: test})
            if key not in {"USUBJID", "STUDYID"}:
                identity.append(written)
        name = str(column.records["USUBJID"].iloc[position])
        levels = (Level("USUBJID", name, name), Level("record", " ".join(identity), ""))
        statistics = [Statistic(one.variable, texts[one][1][place], texts[one][0][place]) for one in analysis.columns]
        yield Result(levels, selection, 1, 1, statistics, number)


def _sorted(analysis: Listing, column: Column, positions: np.ndarray) -> np.ndarray:
    ranks = []
    for written in analysis.sort:
        name = written.removeprefix("-")
        values = _values(column, name, positions)
        codes, distinct = pd.factorize(np.asarray(values.astype(object)))
        by_size = sorted(range(len(distinct)), key=lambda code: distinct[code])
        table = np.empty(len(distinct) + 1)
        table[by_size] = np.arange(len(distinct))
        table[-1] = np.inf
        ranks.append(table[codes] if name == written else -table[codes])
    return np.lexsort(ranks[::-1]) if ranks else np.arange(len(positions))


def _values(column: Column, name: str, positions: np.ndarray) -> pd.Series:
    """The values of a variable at some records, or of ADSL for their subjects."""
    own = not name.startswith("ADSL.")
    values: pd.Series = column.records[name] if own else column.adsl[name.removeprefix("ADSL.")]
    return values.iloc[positions if own else column.subjects[positions]]


def _texts(
    column: Column, name: str, positions: np.ndarray, decimals: int | None
) -> tuple[list[str], list[float | None]]:
    """Values as written in a listing, and as numbers where they are."""
    values = _values(column, name, positions)
    missing = values.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        plain = values.dt.strftime("%Y-%m-%dT%H:%M:%S").str.removesuffix("T00:00:00").tolist()
        return ["" if gone else one for one, gone in zip(plain, missing, strict=True)], [None] * len(plain)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return ["" if gone else str(one) for one, gone in zip(values, missing, strict=True)], [None] * len(values)
    numbers = [None if gone else float(one) for one, gone in zip(values, missing, strict=True)]
    written = ["" if one is None else number_text(one) if decimals is None else fixed(one, decimals) for one in numbers]
    return written, numbers


def _equal(values: pd.Series, position: int) -> tuple[Test | On, str]:
    """The test that a record has the value it has, and that value as text."""
    value = values.iloc[position]
    if pd.isna(value):
        return Test(present=False), ""
    if isinstance(value, pd.Timestamp):
        written = value.isoformat().removesuffix("T00:00:00")
        return On(written), written
    if isinstance(value, str):
        return equal(value), value
    written = number_text(float(value))
    return equal(written), written


METHODS: Mapping[str, Method] = {
    "count": count,
    "summary": summary,
    "time_to_event": time_to_event,
    "survival_at": survival_at,
    "survival_curve": survival_curve,
    "signed_rank": signed_ranks,
    "repeated_measures": repeated_measures,
    "covariance": covariance,
    "extreme": extreme,
    "listing": listing,
}
