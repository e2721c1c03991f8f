"""Builders by ADaM class: which records a dataset starts from, and what its class demands of them at the end.

A builder reads like its class: ADSL has one record per subject of DM, BDS one per parameter and time point for
the subjects of ADSL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from transforms.adam.records import DerivationLine, Records
from transforms.algorithms.base import Problem
from transforms.core import conditions, text
from transforms.findings import Severity
from transforms.study.analyses import GROUP, SUBJECT_LEVEL, AnalysisFile

NOT_IN_ADSL = "subject_not_in_adsl"


class Started(NamedTuple):
    """Records to be filled, and what became of the records they were to be made of."""

    records: Records
    account: list[DerivationLine]


def start(file: AnalysisFile, frames: Mapping[str, pd.DataFrame]) -> Started:
    """One record for each record of the dataset's sources that no rule excludes.

    In every class but ADSL a record whose subject is not in ADSL is left out under the rule `subject_not_in_adsl`.
    """
    sources = file.sources
    codes, positions, account = [], [], []
    for group in file.records:
        frame = frames[group.source]
        open_rows = np.ones(len(frame), dtype=bool)
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
        account.append(DerivationLine(group.source, file.name, "record", "", len(taken)))
        positions.append(taken)
        codes.append(np.full(len(taken), sources.index(group.source), dtype=np.int16))
    joined = np.concatenate(positions)
    records = Records(len(joined), sources, np.concatenate(codes), joined, np.zeros(len(joined), dtype=np.int16))
    if GROUP in file.automatic:
        groups = np.repeat(np.arange(len(positions)), [len(taken) for taken in positions])
        records.columns[GROUP] = text.column(groups, [group.named for group in file.records], records.index)
    return Started(records, [line for line in account if line.rows])


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
