"""Builders by ADaM class: which records a dataset starts from, and what its class demands of them at the end.

A builder reads like its class: ADSL has one record per subject of DM, OCCDS one per event, BDS one per parameter and
time point, time to event one per parameter and subject. BDS adds parameters derived of others, and copies where the
specification asks for them (an end-of-treatment visit, the worst value after baseline).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from transforms.adam.records import DerivationLine, Records
from transforms.algorithms.base import Problem
from transforms.core import conditions, numbers, text
from transforms.findings import Severity
from transforms.study.analyses import PARAMETER, SUBJECT_LEVEL, TTE, AnalysisFile, Taken

NOT_IN_ADSL = "subject_not_in_adsl"


class Started(NamedTuple):
    """Records to be filled, and what became of the records they were to be made of."""

    records: Records
    account: list[DerivationLine]


def start(file: AnalysisFile, frames: Mapping[str, pd.DataFrame]) -> Started:
    """The records a dataset begins with, each knowing the record of a source it is made of.

    A group of records gives one for each record of its source that no rule excludes, or one for each of its
    parameters and each record that meets `only`; time to event one for each parameter and subject of ADSL. In every
    class but ADSL a record whose subject is not in ADSL is left out under the rule `subject_not_in_adsl`.
    """
    if file.observation_class == TTE:
        return _of_subjects(file, frames)
    sources = file.sources
    codes, positions, parameters, account = [], [], [], []
    for group in file.records:
        frame = frames[group.source]
        open_rows = conditions.rows(group.only, lambda name, frame=frame: frame[name], frame.index)  # type: ignore[misc]
        for exclusion in group.exclude:
            out = open_rows & conditions.rows(exclusion.where, lambda name, frame=frame: frame[name], frame.index)  # type: ignore[misc]
            open_rows &= ~out
            account.append(DerivationLine(group.source, file.name, "none", exclusion.rule, int(out.sum())))
        if file.observation_class != SUBJECT_LEVEL:
            known = frozenset(text.used_texts(frames[SUBJECT_LEVEL]["USUBJID"]))
            strange = open_rows & ~text.map_flag(frame["USUBJID"], known.__contains__)
            open_rows &= ~strange
            account.append(DerivationLine(group.source, file.name, "none", NOT_IN_ADSL, int(strange.sum())))
        taken = np.flatnonzero(open_rows)
        for parameter in group.parameters or (None,):
            outcome = "record" if parameter is None else "parameter"
            account.append(DerivationLine(group.source, file.name, outcome, parameter or "", len(taken)))
            positions.append(taken)
            codes.append(np.full(len(taken), sources.index(group.source), dtype=np.int16))
            parameters.append((parameter, len(taken)))
    joined = np.concatenate(positions)
    records = Records(len(joined), sources, np.concatenate(codes), joined, np.zeros(len(joined), dtype=np.int16))
    if PARAMETER in file.unwritten:
        numbers_of = np.repeat(np.arange(len(parameters)), [size for _, size in parameters])
        records.columns[PARAMETER] = text.column(numbers_of, [name for name, _ in parameters], records.index)
    return Started(records, [line for line in account if line.rows])


def _of_subjects(file: AnalysisFile, frames: Mapping[str, pd.DataFrame]) -> Started:
    """One record for each parameter of time to event and each subject of ADSL that it is for."""
    adsl = frames[SUBJECT_LEVEL]
    chosen = [
        np.flatnonzero(conditions.rows(one.only, adsl.__getitem__, adsl.index)) for one in file.parameters.values()
    ]
    account = [
        DerivationLine(SUBJECT_LEVEL, file.name, "parameter", name, len(rows))
        for name, rows in zip(file.parameters, chosen, strict=True)
    ]
    joined = np.concatenate(chosen)
    parts = np.repeat(np.arange(1, len(chosen) + 1, dtype=np.int16), [len(rows) for rows in chosen])
    records = Records(len(joined), file.sources, np.zeros(len(joined), dtype=np.int16), joined, parts)
    return Started(records, [line for line in account if line.rows])


def without_excluded(file: AnalysisFile, records: Records) -> Started:
    """The filled records without those that a rule of the dataset leaves out."""
    kept = np.ones(records.size, dtype=bool)
    account = []
    for exclusion in file.exclude:
        out = kept & conditions.rows(exclusion.where, records.columns.__getitem__, records.index)
        kept &= ~out
        account.append(DerivationLine(file.name, file.name, "none", exclusion.rule, int(out.sum())))
    if kept.all():
        return Started(records, [])
    return Started(records.chosen(np.flatnonzero(kept)), [line for line in account if line.rows])


def with_copies(file: AnalysisFile, records: Records) -> Started:
    """The records with the copies the specification asks for; a copy has values and links of its original."""
    account = []
    size = records.size
    for number, copies in enumerate(file.copies, start=1):
        here = conditions.rows(copies.where, records.columns.__getitem__, records.index)
        here[size:] = False
        originals = np.flatnonzero(here)
        before = records.size
        records = records.chosen(np.concatenate([np.arange(before), originals]))
        added = np.arange(before, records.size)
        records.copies[added] = number
        replaced = {one: records.columns[one.variable] for one in copies.set.values() if isinstance(one, Taken)}
        for name, value in copies.set.items():
            if isinstance(value, Taken):
                records.overwrite_with(name, added, replaced[value])
            else:
                is_text = isinstance(records.columns[name].dtype, pd.CategoricalDtype)
                records.overwrite(name, added, value if is_text else _number(value))
        account.append(DerivationLine(file.name, file.name, "copy", copies.rule, len(originals)))
    return Started(records, account)


def _number(value: str) -> float:
    number = numbers.parse_number(value)
    return np.nan if number is None else number


def demands(file: AnalysisFile, columns: Mapping[str, pd.Series], size: int) -> list[tuple[str, Problem]]:
    """What the class demands of finished records and they do not fulfil, each with the variable concerned."""
    found: list[tuple[str, Problem]] = []
    if file.observation_class == SUBJECT_LEVEL:
        again = columns["USUBJID"].duplicated(keep=False).to_numpy()
        found.append(
            (
                "USUBJID",
                Problem(
                    "key_not_unique",
                    Severity.CRITICAL,
                    again,
                    "a subject has several records in ADSL",
                    "Correct DM so that each subject has one record",
                ),
            )
        )
        return found
    keys = pd.Series(text.combination_codes([columns[key] for key in file.keys]), index=pd.RangeIndex(size))
    found.append(
        (
            ", ".join(file.keys),
            Problem(
                "key_not_unique",
                Severity.ANSWER,
                keys.duplicated(keep=False).to_numpy(),
                "several records have the same key",
                "Add a variable to the keys, or correct the records they are made of",
            ),
        )
    )
    if "PARAMCD" in columns:
        found.append(
            (
                "PARAMCD",
                Problem(
                    "required_variable_empty",
                    Severity.CRITICAL,
                    columns["PARAMCD"].isna().to_numpy(),
                    "a record has no parameter",
                    "Add the test to the table of parameters, or exclude its records under a named rule",
                ),
            )
        )
    return found
