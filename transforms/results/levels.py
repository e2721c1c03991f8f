"""The combinations of by-variables at which an analysis is made, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from transforms.core import text
from transforms.core.conditions import Test
from transforms.core.numbers import number_text
from transforms.results.records import Level
from transforms.results.selection import equal
from transforms.study.results import By


@dataclass(frozen=True)
class Combination:
    """Levels of some by-variables, and the positions of the records that have them."""

    levels: tuple[Level, ...]
    positions: np.ndarray


@dataclass(frozen=True)
class Unlisted:
    """Records that no combination takes: those whose value of a by-variable is not listed, or missing."""

    variable: str
    value: str | None
    positions: np.ndarray


def shapes_of(by: Sequence[By], nested: bool, worst: bool) -> list[tuple[int, ...]]:
    """Which by-variables stand together: all; nested, the first and none too; with the worst, with and without it."""
    every = tuple(range(len(by)))
    if not nested:
        return [every]
    inner = every[:-1] if worst else every
    prefixes = [inner[:count] for count in range(len(inner) + 1)]
    return [shape for one in prefixes for shape in ((one, (*one, every[-1])) if worst else (one,))]


def combinations(
    by: Sequence[By],
    frame: pd.DataFrame,
    positions: np.ndarray,
    subjects: np.ndarray,
    shapes: Sequence[tuple[int, ...]],
    groups: Mapping[str, np.ndarray] | None = None,
) -> tuple[list[Combination], list[Unlisted]]:
    """The combinations among some records of a dataset; `subjects` tells whose each of these records is.

    A record stands at the shapes whose variables it has; one that no level of a further variable takes counts above it.
    `groups` has a mask on all subjects for each group by whose frequency levels may be sorted.
    """
    scales = [_scale(one, frame, positions) for one in by]
    codes = np.array([codes for _, codes in scales]).reshape(len(by), len(positions))
    unlisted = [
        one for (_, own), each in zip(scales, by, strict=True) for one in _left_out(each, frame, positions, own)
    ]
    found = []
    frequencies = _frequencies(by, codes, subjects, groups or {})
    for shape in shapes:
        known = (codes[list(shape)] >= 0).all(axis=0)
        closed = [range(len(scales[one][0])) if by[one].values is not None else None for one in shape]
        for own in _tuples(codes[list(shape)][:, known], closed):
            rows = known.copy()
            for index, code in zip(shape, own, strict=True):
                rows &= codes[index] == code
            levels = tuple(scales[index][0][code] for index, code in zip(shape, own, strict=True))
            key = _sort_key(by, dict(zip(shape, own, strict=True)), frequencies)
            found.append((key, Combination(levels, positions[rows])))
    found.sort(key=lambda one: one[0])
    return [one for _, one in found], unlisted


def _tuples(codes: np.ndarray, closed: Sequence[range | None]) -> Iterator[tuple[int, ...]]:
    """Combinations of codes: those that occur of open variables, each with every value of the others."""
    if not closed:
        yield ()
        return
    is_open = [place for place, one in enumerate(closed) if one is None]
    occurring = sorted({tuple(int(code) for code in row) for row in codes[is_open].T}) if is_open else [()]
    for values in occurring:
        given = dict(zip(is_open, values, strict=True))
        yield from product(*((given[place],) if one is None else one for place, one in enumerate(closed)))


def _scale(by: By, frame: pd.DataFrame, positions: np.ndarray) -> tuple[list[Level], np.ndarray]:
    """The levels of a by-variable in their order, and the level of each record (-1 for none)."""
    codes, texts = _written(frame[by.variable], positions)
    if by.values is not None:
        names = list(by.values)
        labels = by.values
    else:
        names = _sorted(by, frame, positions, codes, texts)
        labels = {name: by.labels.get(name, name) for name in names}
    levels = [Level(by.variable, name, labels[name], equal(name)) for name in names]
    place = {name: number for number, name in enumerate(names)}
    table = np.array([*(place.get(one, -1) for one in texts), -1])
    own = table[codes]
    if by.missing is not None:
        own = np.where(codes < 0, len(levels), own)
        if by.values is not None or (codes < 0).any():
            levels.append(Level(by.variable, None, by.missing, Test(present=False)))
    return levels, own


def _written(values: pd.Series, positions: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Values at some records as codes into texts; numbers in their plain writing, -1 for missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.array.codes[positions], text.texts_of(values)
    codes, distinct = pd.factorize(values.to_numpy()[positions])
    return codes, [number_text(float(one)) for one in distinct]


def _sorted(by: By, frame: pd.DataFrame, positions: np.ndarray, codes: np.ndarray, texts: Sequence[str]) -> list[str]:
    """The texts that occur, by the lowest value of the ordering variable, else numbers by size and texts by letter."""
    used = sorted({int(code) for code in codes if code >= 0})
    if by.order:
        order = frame[by.order].to_numpy(dtype=float)[positions]
        lowest = {code: np.nanmin(order[codes == code], initial=np.inf) for code in used}
        return [texts[code] for code in sorted(used, key=lambda code: (lowest[code], texts[code]))]
    if not isinstance(frame[by.variable].dtype, pd.CategoricalDtype):
        return sorted((texts[code] for code in used), key=float)
    return sorted(texts[code] for code in used)


def _frequencies(
    by: Sequence[By], codes: np.ndarray, subjects: np.ndarray, groups: Mapping[str, np.ndarray]
) -> dict[tuple[int, ...], int]:
    """Subjects at each combination of the first by-variables, where one of them is sorted by frequency."""
    counts: dict[tuple[int, ...], set[int]] = {}
    if not any(one.sort == "frequency" for one in by):
        return {}
    for row, subject in zip(codes.T, subjects, strict=True):
        for depth, one in enumerate(by, start=1):
            if row[depth - 1] < 0:
                break
            if one.of_group is not None and not groups[one.of_group][subject]:
                continue
            counts.setdefault(tuple(int(code) for code in row[:depth]), set()).add(int(subject))
    return {key: len(own) for key, own in counts.items()}


def _sort_key(
    by: Sequence[By], own: dict[int, int], frequencies: dict[tuple[int, ...], int]
) -> list[tuple[int, int, int]]:
    """Where a combination stands: one without a by-variable before those with it."""
    key = []
    for index, one in enumerate(by):
        if index not in own:
            key.append((0, 0, 0))
            continue
        prefix = tuple(own.get(place, -1) for place in range(index + 1))
        key.append((1, -frequencies.get(prefix, 0) if one.sort == "frequency" else 0, own[index]))
    return key


def _left_out(by: By, frame: pd.DataFrame, positions: np.ndarray, own: np.ndarray) -> Iterator[Unlisted]:
    missing = own < 0
    if not missing.any():
        return
    codes, texts = _written(frame[by.variable], positions)
    for code in np.unique(codes[missing]):
        value = texts[code] if code >= 0 else None
        yield Unlisted(by.variable, value, positions[missing & (codes == code)])
