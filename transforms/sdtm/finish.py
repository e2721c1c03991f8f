"""The last steps of a dataset: order, sequence numbers, long texts, qualifiers, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import numbers, text
from transforms.findings import Finding, Severity
from transforms.sdtm.records import Dataset, Records
from transforms.standards import VariableStandard
from transforms.study import Study, check, graph
from transforms.study.models import Variable

MAX_BYTES = 200
SUPPLEMENTAL = (
    "STUDYID",
    "RDOMAIN",
    "USUBJID",
    "IDVAR",
    "IDVARVAL",
    "QNAM",
    "QLABEL",
    "QVAL",
    "QORIG",
    "QEVAL",
)


def finish(study: Study, records: Records, findings: list[Finding]) -> dict[str, Dataset]:
    """The dataset, and its SUPP-- where it has qualifiers, from finished records."""
    dataset = study.datasets[records.dataset]
    frame = records.frame
    order = record_order(frame, dataset.keys)
    _unique_keys(study, records, findings)
    frame = frame.iloc[order]
    sequence = graph.sequence_variable(study, dataset.name)
    if sequence is not None:
        frame[sequence] = sequence_numbers(frame["USUBJID"])
    qualifiers = _qualifiers(study, dataset.name)
    overflow = _split_long(study, dataset.name, frame, qualifiers)
    variables = _variables(study, dataset.name, frame)
    _values_fit(records, frame, variables, study, order, findings)
    finished = Dataset(
        dataset.name,
        frame[[variable.name for variable in variables]].reset_index(drop=True),
        tuple(variables),
        tuple(records.origins),
        records.origin_codes[order],
        records.positions[order],
        records.entries[order],
        frame.index.to_numpy(),
        {name: [replace(link, records=link.records[order]) for link in links] for name, links in records.links.items()},
        {name: replace(one, rows=one.rows[order]) for name, one in records.joined.items()},
    )
    result = {dataset.name: finished}
    supplemental = _supplemental(study, finished, frame, {**qualifiers, **overflow}, sequence)
    if supplemental is not None:
        result[supplemental.name] = supplemental
    return result


def record_order(frame: pd.DataFrame, keys: Sequence[str]) -> np.ndarray:
    """The positions of a dataset's records in the order of its keys."""
    return text.sort_order([frame[key] for key in keys]) if len(frame) else np.empty(0, dtype=np.int64)


def sequence_numbers(subjects: pd.Series) -> pd.Series:
    """The number of each record within its subject, for records in their final order."""
    return (subjects.groupby(subjects, observed=True, sort=False).cumcount() + 1).astype(float)


def _unique_keys(study: Study, records: Records, findings: list[Finding]) -> None:
    dataset = study.datasets[records.dataset]
    frame = records.frame
    if not len(frame):
        return
    keys = pd.Series(text.combination_codes([frame[key] for key in dataset.keys]))
    again = keys.duplicated(keep=False).to_numpy().copy()
    if again.any():
        # Records equal in everything come from equal rows, and staging has said so already.
        rows = np.flatnonzero(again)
        whole = pd.Series(text.combination_codes([frame[name].iloc[rows] for name in frame.columns]), index=rows)
        again[rows] = (whole.groupby(keys.iloc[rows]).transform("nunique") > 1).to_numpy()
    if again.any():
        findings.append(
            Finding(
                "key_not_unique",
                Severity.CRITICAL if dataset.name == "DM" else Severity.ANSWER,
                dataset.name,
                ", ".join(dataset.keys),
                "several records have the same natural key; they are kept in the order of the extract",
                "Ask the site whether they are one record entered twice, or add a variable to the keys",
                records.places(again),
            )
        )


def _qualifiers(study: Study, name: str) -> dict[str, Variable]:
    dataset = study.datasets[name]
    result = dict(dataset.supplemental)
    for group in dataset.records:
        result.update(group.supplemental)
    return result


def _variables(study: Study, name: str, frame: pd.DataFrame) -> list[VariableStandard]:
    """The submitted variables in the standard's order; expected ones that nothing fills stand there empty."""
    standard = study.standards.datasets[name]
    dataset = study.datasets[name]
    own = {
        *_qualifiers(study, name),
        *dataset.working,
        *(one for group in dataset.records for one in group.working),
    }
    found = []
    for column in frame.columns:
        if column not in own:
            variable = check.define(study, dataset, str(column))
            if variable is not None:
                found.append(variable)
    present = {variable.name for variable in found}
    for variable in standard.variables:
        if variable.core in {"Req", "Exp"} and variable.name not in present:
            frame[variable.name] = (
                pd.Series(np.nan, index=frame.index) if variable.is_number else text.missing(frame.index)
            )
            found.append(variable)
    return sorted(found, key=lambda variable: (variable.order, variable.name))


def _values_fit(
    records: Records,
    frame: pd.DataFrame,
    variables: list[VariableStandard],
    study: Study,
    order: np.ndarray,
    findings: list[Finding],
) -> None:
    """Required values are there, and every value of a variable with a codelist is one of its terms."""

    def report(rule: str, variable: str, mask: np.ndarray, message: str, remedy: str, cause: str = "") -> None:
        unsorted = np.zeros(len(mask), dtype=bool)
        unsorted[order[mask]] = True
        findings.append(
            Finding(
                rule,
                Severity.CRITICAL,
                records.dataset,
                variable,
                message,
                remedy,
                records.places(unsorted),
                cause,
            )
        )

    for variable in variables:
        values = frame[variable.name]
        if variable.core == "Req":
            empty = values.isna().to_numpy()
            if empty.any():
                report(
                    "required_variable_empty",
                    variable.name,
                    empty,
                    f"{variable.name} is required by the standard and empty",
                    "Map it, or have the source completed",
                )
        codelists = study.standards.codelists_of(variable)
        if not codelists or not isinstance(values.dtype, pd.CategoricalDtype):
            continue
        known = (one.terms | study.extensions.get(one.code, frozenset()) for one in codelists)
        allowed = set(variable.outside).union(*known)
        result = variable.name.endswith(("STRESC", "ORRES"))
        for term in text.used_texts(values):
            if term not in allowed and not (result and numbers.parse_result(term)):
                names = ", ".join(f"{one.code} {one.short_name}" for one in codelists)
                report(
                    "term_not_in_codelist",
                    variable.name,
                    text.map_flag(values, lambda one, term=term: one == term),  # type: ignore[misc]
                    f"a value is not a term of {names}",
                    "Map it to a published term, or declare it in tables/ct_extensions.csv if the list is extensible",
                    term,
                )


def _split_long(
    study: Study, name: str, frame: pd.DataFrame, qualifiers: Mapping[str, Variable]
) -> dict[str, Variable]:
    """Texts over 200 bytes: the first part stays, the rest goes to SUPP-- as VAR1, VAR2 (SDTMIG 3.4, 4.5.3.2)."""
    dataset = study.datasets[name]
    working = {*dataset.working, *(one for group in dataset.records for one in group.working)}
    added: dict[str, Variable] = {}
    for column in list(frame.columns):
        values = frame[column]
        if column in working or not isinstance(values.dtype, pd.CategoricalDtype):
            continue
        texts = text.texts_of(values)
        if all(len(one) <= MAX_BYTES // 4 or len(one.encode()) <= MAX_BYTES for one in texts):
            continue
        pieces = [split_text(one) for one in texts]
        definition = check.define(study, dataset, column)
        label = qualifiers[column].label if column in qualifiers else definition.label if definition else column
        for number in range(max(len(piece) for piece in pieces)):
            part = [piece[number] if number < len(piece) else None for piece in pieces]
            target = column if number == 0 else f"{column[: 8 - len(str(number))]}{number}"
            frame[target] = text.column(values.array.codes, part, values.index)
            if number:
                source = qualifiers.get(column)
                added[target] = Variable.model_validate(
                    {"copy": column, "label": label, "origin": source.origin if source else None}
                )
    return added


def split_text(value: str, limit: int = MAX_BYTES) -> list[str]:
    """A text in pieces of at most `limit` UTF-8 bytes, cut at a blank where one is near, never in a character."""
    pieces = []
    rest = value
    while len(rest.encode()) > limit:
        head = rest.encode()[:limit].decode(errors="ignore")
        blank = head.rfind(" ")
        cut = blank if blank > len(head) // 2 else len(head)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest]


def _supplemental(
    study: Study,
    parent: Dataset,
    frame: pd.DataFrame,
    qualifiers: Mapping[str, Variable],
    sequence: str | None,
) -> Dataset | None:
    """SUPP--: one record for each filled qualifier of each parent record, in parent order."""
    present = [name for name in qualifiers if name in frame and frame[name].notna().any()]
    if not present:
        return None
    rows, names = [], []
    for position, name in enumerate(present):
        filled = np.flatnonzero(frame[name].notna().to_numpy())
        rows.append(filled)
        names.append(np.full(len(filled), position))
    row, name_code = np.concatenate(rows), np.concatenate(names)
    order = np.lexsort((name_code, row))
    row, name_code = row[order], name_code[order]
    index = pd.RangeIndex(len(row))
    values: list[str] = []
    codes = np.full(len(row), -1, dtype=np.int64)
    for position, name in enumerate(present):
        column = frame[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            column = text.map_rows([column], lambda one: None if one is None else numbers.number_text(one))
        here = name_code == position
        codes[here] = column.array.codes[row[here]].astype(np.int64) + len(values)
        values.extend(text.texts_of(column))
    taken = frame["USUBJID"]
    columns = {
        "STUDYID": text.constant(study.file.studyid, index),
        "RDOMAIN": text.constant(parent.name, index),
        "USUBJID": text.column(taken.array.codes[row], text.texts_of(taken), index),
        "IDVAR": text.constant(sequence, index),
        "IDVARVAL": text.missing(index)
        if sequence is None
        else text.map_rows([pd.Series(frame[sequence].to_numpy()[row], index=index)], numbers.number_text),
        "QNAM": text.column(name_code, present, index),
        "QLABEL": text.column(name_code, [qualifiers[name].label for name in present], index),
        "QVAL": text.column(codes, values, index),
        "QORIG": text.column(name_code, [qualifiers[name].origin or "CRF" for name in present], index),
        "QEVAL": text.column(name_code, [qualifiers[name].evaluator for name in present], index),
    }
    standard = study.standards.datasets["SUPPQUAL"]
    return Dataset(
        f"SUPP{parent.name}",
        pd.DataFrame(columns, index=index),
        tuple(standard.by_name[name] for name in SUPPLEMENTAL),
        parent.origins,
        parent.origin_codes[row],
        parent.positions[row],
        parent.entries[row],
        np.arange(len(row)),
        {"IDVARVAL": [Link(parent.name, parent.record_ids[row])]},
    )
