"""Rules checked by Great Expectations: which rows of which frame breach which rule.

GX never sees more than it needs. A rule that a row's own values decide is checked on the distinct combinations of
these values, and what is unexpected is expanded to rows afterwards; where only presence decides, GX sees presence.
Rules with the same expectation and the same arguments, of whatever frame, are checked by one expectation on one
frame; limits that differ are made the same by checking how far inside them a value lies. All run in one ephemeral
context in memory: no file, no network, no telemetry.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from transforms.core import conditions, numbers, text
from transforms.errors import CairnError
from transforms.validation.columns.base import Frame
from transforms.validation.expectations import KNOWN
from transforms.validation.rule import Rule

COMPLETE = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": 0}
BETWEEN = "expect_column_values_to_be_between"
ABOUT_MISSING = {"expect_column_values_to_not_be_null", "expect_column_values_to_be_null"}
# A value set longer than this is passed without the terms that do not occur.
LONG = 20
# Beyond this many combinations codes are made dense, long before they overflow.
LARGE = 2**40


# The subject of each row of a staged source, which its own column may say by another number.
SUBJECT = "SUBJECT"


class CheckFailedError(CairnError):
    """A rule could not be checked, so nobody knows whether it holds."""


@dataclass(frozen=True)
class Breach:
    """Rows (sorted positions in the frame given) on which a rule does not hold; none for a breach of the frame.

    Where columns are missing that a rule asks for, each is a breach of its own and `variable` names it.

    `cause` tells breaches of one rule apart (the term, the test): it may be collected text and is only hashed. `told`
    is what a table of the specification adds to the rule's message.
    """

    rule: Rule
    dataset: str
    variable: str
    rows: np.ndarray
    cause: str = ""
    told: str = ""


def ready() -> None:
    """Import Great Expectations, which takes seconds, in a process that will check and has nothing to do yet."""
    _Expect()


def check(frames: Mapping[str, Frame], rules: Mapping[str, Sequence[Rule]], cut_off: str = "") -> tuple[Breach, ...]:
    """The breaches of the rules of each frame, in the order of the rules.

    `frames` may hold more than `rules` asks for: frames that rules look into (DM, SV). A SUPP-- dataset may be
    absent, every other dataset that has rules must be there. Raises CheckFailedError naming rule and dataset where a
    column is missing, where Great Expectations could not run an expectation, or where its answer is not whole.
    `cut_off` is the data cut-off (ISO 8601); without it nothing is overdue.
    """
    return tuple(breach for one in examine(frames, rules, cut_off) for breach in one.breaches)


@dataclass(frozen=True)
class Examined:
    """The breaches of one rule of a frame, and on how many rows it had something to look at.

    `place` is the frame's name and the position of the rule among the rules of the frame.
    """

    place: tuple[str, int]
    reached: int
    breaches: tuple[Breach, ...]


def examine(
    frames: Mapping[str, Frame],
    rules: Mapping[str, Sequence[Rule]],
    cut_off: str = "",
    only: Mapping[str, Collection[int]] | None = None,
) -> list[Examined]:
    """What `check` looks for, rule by rule; a rule that was left out because the frame lacks its columns is not in it.

    `only` are the positions of the rules of each frame to look at, so that rules can be examined in processes of their
    own; `together` joins what they find.
    """
    places = {name: range(len(own)) for name, own in rules.items()} if only is None else only
    parts = [
        (name, number, part)
        for name, numbers in places.items()
        for number, part in _parts(frames, name, {number: rules[name][number] for number in numbers}, cut_off)
    ]
    groups: dict[tuple[Any, ...], list[_Part]] = {}
    for _, _, part in parts:
        groups.setdefault(part.group, []).append(part)
    if groups:
        expect = _Expect()
        for group in groups.values():
            _settle(expect, group)
    return [Examined((name, number), part.reached(), tuple(part.breaches())) for name, number, part in parts]


def dealt(rules: Mapping[str, Sequence[int]], largest: str, processes: int) -> list[dict[str, Sequence[int]]]:
    """The positions of rules of each frame, for `examine` in calls that keep so many processes busy.

    Rules of one frame prepare the same columns, so that frames stay whole but for the largest, which has as much to
    look at as all others.
    """
    if processes <= 1 or largest not in rules:
        return [dict(rules)]
    shares = [{largest: rules[largest][share :: processes - 1]} for share in range(processes - 1)]
    others = [name for name in rules if name != largest]
    return [*shares, *({name: rules[name] for name in others[share::processes]} for share in range(processes))]


def together(shares: Iterable[Sequence[Examined]], rules: Mapping[str, Sequence[Rule]]) -> list[Examined]:
    """What several shares found, in the order of the rules."""
    order = {name: position for position, name in enumerate(rules)}
    found = [one for share in shares for one in share]
    return sorted(found, key=lambda one: (order[one.place[0]], one.place[1]))


def reach(
    frames: Mapping[str, Frame], rules: Mapping[str, Sequence[Rule]], cut_off: str = ""
) -> dict[tuple[str, str], int]:
    """How many rows each rule of each frame has something to look at on, by frame and rule id.

    0 means that nothing was checked: no row passes its condition, or the columns are empty.
    """
    result: dict[tuple[str, str], int] = {}
    for name, own in rules.items():
        for _, part in _parts(frames, name, dict(enumerate(own)), cut_off):
            key = (name, part.rule.id)
            result[key] = result.get(key, 0) + part.reached()
    return result


class _Frame:
    """A frame with the columns prepared for the rules that are checked on it."""

    def __init__(self, frames: Mapping[str, Frame], name: str, cut_off: str) -> None:
        self.frames = frames
        self.cut_off = cut_off
        self.name = name
        self.data = frames[name]
        self.others: dict[str, Frame] = {}
        self.made: dict[Any, pd.Series] = {}
        self.seen: dict[Any, _Distinct] = {}
        self.local: dict[str, Any] = {}
        self.roots: dict[Any, str] = {}

    def release(self) -> None:
        """Give back what was read and prepared; what is asked for again is read and made again."""
        for one in (self.made, self.seen, self.others):
            one.clear()
        self.data = self.frames[self.name]

    @property
    def index(self) -> pd.Index:
        index: pd.Index = self.data.index
        return index

    def names(self) -> Sequence[str]:
        return [str(name) for name in self.data.columns]

    def frame(self, name: str) -> Frame:
        if name not in self.frames:
            raise CheckFailedError(f"{self.name}: a rule looks into {name}, which is not given. Check them together")
        if name not in self.others:
            self.others[name] = self.frames[name]
        return self.others[name]

    def datasets(self) -> Sequence[str]:
        return list(self.frames)

    def key(self, name: str) -> Any:
        """What identifies a column: its name, or what prepares it (with what prepares its inputs)."""
        return self.local.get(name, name)

    def column(self, name: str) -> pd.Series:
        values: pd.Series = self.made[self.local[name]] if name in self.local else self.data[name]
        return values

    def number(self, name: str) -> pd.Series:
        values = self.column(name)
        return text.map_number(values, numbers.parse_number) if _is_text(values) else values.astype(float)

    def prepare(self, rule: Rule) -> None:
        """Make the columns that the rule prepares; one that another rule prepared alike is taken from there."""
        self.local = {}
        for name, one in rule.columns.items():
            key = (type(one).word, one.model_dump_json(exclude={"found"}), *(self.key(used) for used in one.inputs()))
            if key not in self.made:
                self.made[key] = one.values(self)
                if one.own_value and len(one.inputs()) == 1 and one.inputs()[0] not in rule.columns:
                    self.roots[key] = one.inputs()[0]
            self.local[name] = key

    def distinct(self, name: str) -> _Distinct:
        """The rows of a column by its distinct values, missing being one of them."""
        key = self.key(name)
        if key not in self.seen:
            self.seen[key] = self._distinct(key, name)
        return self.seen[key]

    def _distinct(self, key: Any, name: str) -> _Distinct:
        values = self.column(name)
        if key in self.roots:
            # Prepared from one column, so it is constant where that column is.
            root = self.distinct(self.roots[key])
            codes = text.codes_of(values.iloc[root.first])[0] + 1
            own = _dense(codes)
            return _Distinct(own.codes[root.codes], root.first[own.first])
        return _dense(text.codes_of(values)[0] + 1)


@dataclass(frozen=True)
class _Distinct:
    """Rows by distinct value: the code of each row, from 0 without gaps, and the first row of each code."""

    codes: np.ndarray
    first: np.ndarray


def _dense(codes: np.ndarray, size: int = 0) -> _Distinct:
    """Codes (never negative) without gaps, in as few bytes as they need: hundreds of rules keep theirs."""
    width = size or int(codes.max(initial=-1)) + 1
    first = np.full(width, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    used = first >= 0
    table = (np.cumsum(used) - 1).astype(np.min_scalar_type(width))
    return _Distinct(table[codes] if len(codes) else codes, first[used])


def _is_text(values: pd.Series) -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


@dataclass
class _Part:
    """One rule on one frame: the values it is checked on, and the rows behind each of them."""

    rule: Rule
    frame: _Frame
    values: Mapping[str, pd.Series]
    size: int
    codes: np.ndarray
    rows: np.ndarray | None
    kwargs: dict[str, Any]
    bad: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    failed: bool = False
    missing: tuple[str, ...] = ()
    split: np.ndarray | None = None

    @property
    def group(self) -> tuple[Any, ...]:
        """Parts with the same group are checked by one expectation."""
        kwargs = dict(self.kwargs)
        if self.of_terms:
            del kwargs["value_set"]
        same = (self.rule.expectation, _frozen(kwargs), tuple(str(one.dtype) for one in self.values.values()))
        known = KNOWN[self.rule.expectation]
        if known.names_only:
            return (*same, tuple(self.values))
        return same if known.shape == "rows" else (*same, id(self))

    @property
    def of_terms(self) -> bool:
        """True if the values are held against a set of texts; parts with different sets are checked together."""
        return (
            "value_set" in self.kwargs
            and KNOWN[self.rule.expectation].shape == "rows"
            and all(isinstance(one, str) for one in self.kwargs["value_set"])
        )

    def reached(self) -> int:
        """Rows with a value to look at; a missing one counts where missing values are what is looked for."""
        if self.rule.expectation in ABOUT_MISSING or not len(self.codes):
            return len(self.codes) or self.size
        held = np.logical_or.reduce([values.notna().to_numpy() for values in self.values.values()])
        return int(held[self.codes].sum())

    def breaches(self) -> Iterator[Breach]:
        """What was found, split by the columns of `per`."""
        rule, name = self.rule, self.frame.name
        if not self.failed:
            return
        if self.missing:
            for one in self.missing:
                yield Breach(rule, name, one, np.empty(0, dtype=np.int64), one)
            return
        mask = np.zeros(self.size, dtype=bool)
        mask[self.bad] = True
        found = np.flatnonzero(mask[self.codes])
        rows = found if self.rows is None else self.rows[found]
        if not rule.split or not len(rows):
            yield Breach(rule, name, rule.said, rows)
            return
        self.frame.prepare(rule)
        columns = [self.frame.column(one).iloc[rows] for one in rule.split]
        codes, keys = text.combinations(columns)
        for code, key in enumerate(keys):
            said = ["" if one is None else _said(one) for one in key]
            told = said[-1] if rule.tell else ""
            yield Breach(rule, name, rule.said, rows[codes == code], "\x1f".join(said), told)


def _said(value: Any) -> str:
    return numbers.number_text(value) if isinstance(value, float) else str(value)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()))
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


def _parts(
    frames: Mapping[str, Frame], name: str, rules: Mapping[int, Rule], cut_off: str
) -> Iterator[tuple[int, _Part]]:
    if name not in frames:
        first = next(iter(rules.values()), None)
        if first is not None and not name.startswith("SUPP"):
            raise CheckFailedError(f"{name}: has rules ({first.id}, ...) and no frame. Give the frame, or no rules")
        return
    frame = _Frame(frames, name, cut_off)
    for number, rule in rules.items():
        missing = [one for one in rule.read() if one not in frame.data.columns]
        if missing and rule.lenient:
            continue
        if missing:
            raise CheckFailedError(
                f"{name}.{missing[0]}: the rule {rule.id} reads it and the frame does not have it. "
                "Correct the rule, or map the variable"
            )
        try:
            yield number, _part(frame, rule)
        except (TypeError, ValueError, KeyError) as error:
            raise CheckFailedError(f"{name}: the rule {rule.id} cannot be prepared: {error!r}") from error
    # Kept for all frames at once they would be most of the memory; what a breach needs again is made again.
    frame.release()


def _part(frame: _Frame, rule: Rule) -> _Part:
    frame.prepare(rule)
    known = KNOWN[rule.expectation]
    rows = None
    if rule.where:
        rows = np.flatnonzero(conditions.rows(rule.where, frame.column, frame.index))
    names = [str(one) for one in rule.checked]
    if known.shape == "table" and not names:
        if known.names_only:
            rows = np.empty(0, dtype=np.int64)
            whole = dict.fromkeys(frame.names(), pd.Series(dtype="str"))
        else:
            whole = {name: _plain(frame.column(name) if rows is None else frame.column(name).iloc[rows])
                     for name in frame.names()}  # fmt: skip
        size = len(frame.data) if rows is None or known.names_only else len(rows)
        return _Part(rule, frame, whole, size, np.empty(0, dtype=np.int64), rows, dict(rule.kwargs))
    if rule.expectation in ABOUT_MISSING:
        there = frame.column(names[0]).notna().to_numpy()
        distinct = _dense((there if rows is None else there[rows]).astype(np.int64), 2)
        present = {"value_0": pd.Series(np.where(np.unique(there if rows is None else there[rows]), 1.0, np.nan))}
        return _Part(rule, frame, present, len(distinct.first), distinct.codes, rows, {"column": "value_0"})
    if known.shape == "rows":
        distinct = _distinct(frame, names, rows)
        codes, first = distinct.codes, distinct.first
    else:
        first = np.arange(len(frame.data)) if rows is None else rows
        codes = np.arange(len(first))
    columns, kwargs = {}, {key: value for key, value in rule.kwargs.items() if key not in known.columns}
    for number, name in enumerate(names):
        taken = (frame.number(name) if known.numbers else frame.column(name)).iloc[first]
        columns[f"value_{number}"] = _plain(taken)
    if "value_set" in kwargs:
        of_numbers = not _is_text(frame.column(names[0]))
        kwargs["value_set"] = [float(one) if of_numbers else str(one) for one in kwargs["value_set"]]
    position = 0
    for key in known.columns:
        size = len(rule.kwargs[key]) if key == "column_list" else 1
        own = [f"value_{number}" for number in range(position, position + size)]
        kwargs[key] = own if key == "column_list" else own[0]
        position += size
    if rule.expectation == BETWEEN:
        columns, kwargs = _inside(columns, kwargs)
    return _Part(rule, frame, columns, len(first), codes, rows, kwargs)


def _inside(columns: Mapping[str, pd.Series], kwargs: dict[str, Any]) -> tuple[dict[str, pd.Series], dict[str, Any]]:
    """How far a value lies inside its limits, to be at least 0, so that rules with different limits are one question.

    The sign of a difference of floating-point numbers is exact. Limits that are no numbers, that exclude each other, or
    of which one is strict and the other is not, are left to Great Expectations.
    """
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    written = [(one, bool(kwargs.get(strict))) for one, strict in ((low, "strict_min"), (high, "strict_max"))
               if one is not None]  # fmt: skip
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one, _ in written)
    if not plain or len({strict for _, strict in written}) != 1 or (len(written) == 2 and written[0] > written[1]):
        return dict(columns), kwargs
    ((name, values),) = columns.items()
    margins = [values - low] if low is not None else []
    margins += [high - values] if high is not None else []
    inside = pd.Series(np.fmin.reduce([one.to_numpy() for one in margins]))
    strict = {"strict_min": True} if written[0][1] else {}
    return {name: inside}, {"column": name, "min_value": 0, **strict}


def _distinct(frame: _Frame, names: Sequence[str], rows: np.ndarray | None) -> _Distinct:
    """The rows (those at `rows`) by distinct combination of some columns; `first` are positions in the frame."""
    parts = [frame.distinct(name) for name in names]
    if len(parts) == 1 and rows is None:
        return parts[0]
    combined, size = parts[0].codes if rows is None else parts[0].codes[rows], len(parts[0].first)
    for part in parts[1:]:
        if size > LARGE:
            combined, found = pd.factorize(combined)
            size = len(found)
        combined = combined.astype(np.int64) * len(part.first) + (part.codes if rows is None else part.codes[rows])
        size *= len(part.first)
    if size > max(4 * len(combined), 1000):
        combined, found = pd.factorize(combined)
        size = len(found)
    result = _dense(combined, size)
    return result if rows is None else _Distinct(result.codes, rows[result.first])


def _plain(values: pd.Series) -> pd.Series:
    """A column as Great Expectations takes it: texts, numbers or dates, with a fresh index."""
    if _is_text(values):
        texts = pd.Series(values.cat.categories, dtype="str").array
        return pd.Series(texts.take(values.array.codes, allow_fill=True))
    return values.reset_index(drop=True)


class _Run(Protocol):
    def __call__(self, frame: pd.DataFrame, expectation: str, kwargs: Mapping[str, Any]) -> Any: ...


class _Expect:
    """Great Expectations in an ephemeral context. It is imported here and nowhere else: the import takes seconds."""

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        import great_expectations
        from great_expectations import expectations
        from great_expectations.core.expectation_suite import ExpectationSuite
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        settings = DataContextConfig(
            # Otherwise a folder for pages nobody reads is made for every context, and stays.
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        )
        context = great_expectations.get_context(mode="ephemeral", project_config=settings)
        self.suite = ExpectationSuite
        self.expectations = expectations
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self.batches = asset.add_batch_definition_whole_dataframe("whole")

    def __call__(self, frame: pd.DataFrame, expectation: str, kwargs: Mapping[str, Any]) -> Any:
        """GX's result of one expectation on a frame."""
        name = "".join(word.capitalize() for word in expectation.split("_"))
        batch = self.batches.get_batch({"dataframe": frame})
        return batch.validate(getattr(self.expectations, name)(**kwargs), result_format=COMPLETE)


def _settle(run: _Run, parts: Sequence[_Part]) -> None:
    """Check parts that share an expectation on one frame, and give each its unexpected values."""
    shape = KNOWN[parts[0].rule.expectation].shape
    filled = [part for part in parts if part.size or shape == "table"]
    if not filled:
        return
    kwargs, own = _with_terms(filled)
    frame = pd.DataFrame(
        {
            name: pd.concat([values[name] for values in own], ignore_index=True) if len(own) > 1 else first
            for name, first in own[0].items()
        }
    )
    where = "; ".join(f"{part.frame.name}: the rule {part.rule.id}" for part in filled)
    try:
        result = run(frame, filled[0].rule.expectation, _occurring(frame, kwargs))
    except Exception as error:
        raise CheckFailedError(f"{where}: Great Expectations could not check it: {error}") from error
    raised = _raised(result.exception_info)
    if raised:
        for part in filled if len(filled) > 1 else ():
            _settle(run, [part])
        raise CheckFailedError(f"{where}: Great Expectations could not check it: {raised}")
    if shape == "table":
        details = result.result.get("details") or {}
        for part in filled:
            part.failed = not result.success
            part.missing = tuple(details.get("mismatched", {}).get("missing", ()))
        return
    bad = _unexpected(result, frame, where)
    start = 0
    for part in filled:
        end = start + part.size
        part.bad = bad[(bad >= start) & (bad < end)] - start
        part.failed = bool(len(part.bad))
        start = end


def _with_terms(parts: Sequence[_Part]) -> tuple[Mapping[str, Any], Sequence[Mapping[str, pd.Series]]]:
    """The arguments and the values of parts that are checked together.

    Where they have different sets of terms, the number of the set stands before each value and each term, so that a
    value meets the terms of its own set only.
    """
    kwargs, values = parts[0].kwargs, [part.values for part in parts]
    sets = list(dict.fromkeys(tuple(part.kwargs["value_set"]) for part in parts)) if parts[0].of_terms else []
    if len(sets) < 2:
        return kwargs, values
    number = {terms: f"{place}\x1f" for place, terms in enumerate(sets)}
    named = [
        {name: number[tuple(part.kwargs["value_set"])] + one for name, one in part.values.items()} for part in parts
    ]
    return {**kwargs, "value_set": [prefix + term for terms, prefix in number.items() for term in terms]}, named


def _occurring(frame: pd.DataFrame, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments without terms that do not occur: GX copies a value set a hundred times, and a codelist is long."""
    if "value_set" not in kwargs or len(kwargs["value_set"]) <= LONG:
        return kwargs
    here = set(frame.iloc[:, 0])
    return {**kwargs, "value_set": [one for one in kwargs["value_set"] if one in here]}


def _unexpected(result: Any, frame: pd.DataFrame, where: str) -> np.ndarray:
    """Positions of the unexpected values, after the answer has proved to be whole."""
    answer = result.result
    found = np.array(answer.get("unexpected_index_list") or [], dtype=np.int64)
    count = answer.get("unexpected_count")
    if count is None or len(found) != count or len(np.unique(found)) != count:
        raise CheckFailedError(f"{where}: Great Expectations counts {count} unexpected values and names {len(found)}")
    if answer.get("element_count") != len(frame):
        raise CheckFailedError(
            f"{where}: Great Expectations looked at {answer.get('element_count')} of {len(frame)} values"
        )
    if result.success != (count == 0):
        raise CheckFailedError(f"{where}: Great Expectations says {result.success} for {count} unexpected values")
    return np.sort(found)


def _raised(info: Any) -> str:
    """What an expectation raised, or nothing."""
    if not info:
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "an exception") if info["raised_exception"] else ""
    return "; ".join(filter(None, (_raised(one) for one in info.values())))
