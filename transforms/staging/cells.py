"""What staging does to single values: listed corrections, identifiers withheld, codes and laboratory texts read.

Every change of a collected text is said, with file and line; the text itself stays in the raw store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transforms.algorithms.base import StudyCodelist
from transforms.core import numbers, text
from transforms.core.identifiers import Identifiers, telling
from transforms.core.results import Reading, ResultTexts, labelled_range
from transforms.core.tables import Table
from transforms.core.units import Units, spelling
from transforms.findings import RawPlace, Severity
from transforms.staging.versions import CORRECTION, Behind
from transforms.study.corrections import CORRECTIONS, Correction
from transforms.study.models import RangeColumn, ResultColumn, UnitColumn

if TYPE_CHECKING:
    from transforms.staging.stage import _Rows


def correct(rows: _Rows, corrections: Sequence[Correction]) -> None:
    """Replace the values that the study lists as corrected, where the extract says what the list says it says."""
    if not corrections:
        return
    ids = [rows.frame[name] for name in rows.source.record_id]
    codes, keys = text.combinations(ids) if ids else (np.empty(0, dtype=np.int64), [])
    by_record = {tuple("" if part is None else str(part) for part in key): code for code, key in enumerate(keys)}
    collected = {one.column: rows.frame[one.column] for one in corrections}
    for one in corrections:
        table = f"line {one.table_line} of tables/corrections.csv ({one.ticket})"
        if one.record:
            here = codes == by_record.get(one.record, -1)
        else:
            here = (rows.lines == one.line) & np.isin(
                rows.file_codes, [code for code, file in enumerate(rows.files) if file.sha256 == one.sha256]
            )
        if not here.any():
            rows.find(
                "correction_without_record",
                Severity.ANSWER,
                one.column,
                here,
                f"the extract holds no row for {table}",
                "Remove the correction if the row was deleted or sent anew, or correct the row it names",
                cause=str((one.record, one.sha256, one.line)),
            )
            continue
        original = collected[one.column]
        fits = original.isna().to_numpy() if not one.old else original.eq(one.old).to_numpy()
        if (here & ~fits).any():
            rows.find(
                "correction_does_not_fit",
                Severity.ANSWER,
                one.column,
                here & ~fits,
                f"{table} corrects another value than the extract holds; the extract's value stands",
                "Remove the correction if the source was corrected since, or write what the extract holds under FROM",
                cause=str((one.record, one.sha256, one.line)),
            )
        done = here & fits
        if not done.any():
            continue
        values = rows.frame[one.column]
        replaced = text.coalesce(
            text.column(np.where(done, 0, text.MISSING), [one.new or None], values.index),
            text.column(np.where(done, text.MISSING, values.array.codes), text.texts_of(values), values.index),
        )
        rows.frame = rows.frame.assign(**{one.column: replaced})
        place = RawPlace(f"tables/{CORRECTIONS}.csv", (one.table_line,))
        rows.behind.extend(Behind(CORRECTION, int(row), place, one.column) for row in np.flatnonzero(done))
        rows.find(
            "listed_correction",
            Severity.INFORMATION,
            one.column,
            done,
            f"a value was corrected as {table} says; the collected one stays in the raw store",
            "Nothing; have it corrected at the source too, and then remove the row",
            cause=str((one.record, one.sha256, one.line)),
        )


def withhold_identifiers(rows: _Rows, identifiers: Identifiers) -> None:
    """Leave out texts that hold a direct identifier of a person, where the contract expects none; the row stays."""
    columns = rows.source.columns
    known = telling(
        {one for name, column in columns.items() if column.identifier for one in text.texts_of(rows.frame[name])}
    )
    for name, column in columns.items():
        if column.type != "text" or column.identifier or column.made or not column.scan:
            continue
        values = rows.frame[name]
        for kind, positions in identifiers.found(text.texts_of(values), known).items():
            codes = values.array.codes
            mask = rows.open() & np.isin(codes, positions)
            if not mask.any():
                continue
            rows.find(
                "direct_identifier",
                Severity.CRITICAL,
                name,
                mask,
                f"the text holds {kind}, where no identifier belongs; it is left out of everything but raw",
                "Have it removed at the source; if the column's values only look like identifiers, set `scan: false`",
                cause=kind,
            )
            left = text.column(np.where(mask, text.MISSING, rows.frame[name].array.codes),
                               text.texts_of(rows.frame[name]), values.index)  # fmt: skip
            rows.frame = rows.frame.assign(**{name: left})


def clean(rows: _Rows) -> None:
    """Texts without characters that do not show: no dataset may hold them, and they hide what a text says.

    Line breaks and tabs are layout; any other control character may stand where a letter was, so it is asked.
    """
    for name, column in rows.source.columns.items():
        if column.made:
            continue
        values = rows.frame[name]
        strange = text.map_flag(values, lambda one: text.without_controls(one) != one)
        if strange.any():
            values = text.map_text(values, text.without_controls)
        laid_out = text.map_flag(values, lambda one: text.on_one_line(one) != one)
        if laid_out.any():
            values = text.map_text(values, text.on_one_line)
        rows.frame = rows.frame.assign(**{name: values})
        if (strange & rows.open()).any():
            rows.find(
                "control_character_replaced",
                Severity.ANSWER,
                name,
                strange & rows.open(),
                "the text holds control characters, which show as nothing; a blank stands in their place",
                "Ask the site what was entered, and the sender for an export without them",
            )
        if (laid_out & rows.open()).any():
            rows.find(
                "text_on_one_line",
                Severity.INFORMATION,
                name,
                laid_out & rows.open(),
                "line breaks or tabs in the text became a blank, marks without width were dropped",
                "Nothing; the text as collected stays in the raw store",
            )


def normalise(rows: _Rows, codelists: Mapping[str, StudyCodelist]) -> None:
    """Full-width characters of subjects, codes and typed values in their ordinary form, codes through their codelist.

    Dropped blanks, full-width characters and capitals are said once per column.
    """
    offset = np.searchsorted(rows.file_codes, np.arange(len(rows.files)))
    for name, column in rows.source.columns.items():
        if column.made:
            continue
        changed = np.zeros(len(rows.frame), dtype=bool)
        for start, file in zip(offset, rows.files, strict=True):
            if name in file.extract.padded:
                changed[start + file.extract.padded[name]] = True
        values = rows.frame[name]
        listed = column.codelist is not None or column.answers is not None
        if column.narrow or listed or column.type != "text" or name == rows.source.subject:
            wide = text.map_flag(values, lambda one: text.narrow(one) != one)
            if wide.any():
                changed |= wide
                rows.frame = rows.frame.assign(**{name: text.map_text(values, text.narrow)})
        if column.answers is not None:
            changed |= _spelt(rows, name, codelists[column.answers])
        changed &= rows.open()
        if changed.any():
            rows.find(
                "text_normalised",
                Severity.INFORMATION,
                name,
                changed,
                "full-width characters were read as ordinary ones, blanks at the ends were dropped, or capitals were "
                "written as the list of answers has them",
                "Nothing; an export that writes plain texts would avoid it",
            )
        if column.answers is not None:
            _ask(rows, name, codelists[column.answers])
        if column.codelist is not None:
            _through_codelist(rows, name, codelists[column.codelist])


def _spelt(rows: _Rows, name: str, answers: StudyCodelist) -> np.ndarray:
    """Answers of the form spelt as the list has them; says where that changed a text."""
    values = rows.frame[name]
    spelt = {one: answers.spelling(one) or one for one in text.texts_of(values)}
    changed = text.map_flag(values, lambda one: spelt[one] != one)
    if changed.any():
        rows.frame = rows.frame.assign(**{name: text.map_text(values, spelt.__getitem__)})
    return changed


def _ask(rows: _Rows, name: str, answers: StudyCodelist) -> None:
    """Texts that are no answer of the form are asked about, and stay as they are."""
    values = rows.frame[name]
    for position, one in enumerate(text.texts_of(values)):
        mask = rows.open() & (values.array.codes == position)
        if answers.spelling(one) is None and mask.any():
            rows.find(
                "answer_unknown",
                Severity.ANSWER,
                name,
                mask,
                f"the text is none of the answers of the form (codelist {answers.name})",
                "Ask the site which answer is meant; one that the form now offers is added to tables/codelists.csv",
                cause=one,
            )


def _through_codelist(rows: _Rows, name: str, codelist: StudyCodelist) -> None:
    values = rows.frame[name]
    texts = text.texts_of(values)
    found = [codelist.find(one) for one in texts]
    codes = values.array.codes
    for position, (known, _) in enumerate(found):
        mask = rows.open() & (codes == position) if not known else np.zeros(0, dtype=bool)
        if mask.any():
            rows.hold(
                "unmapped_term",
                name,
                mask,
                f"a collected term is not in the codelist {codelist.name}",
                "Map the term in tables/codelists.csv (term, fix or ignore), or have the source corrected",
                cause=texts[position],
            )
    rows.frame = rows.frame.assign(**{name: text.column(codes, [term for _, term in found], values.index)})


def laboratory(rows: _Rows, tables: Mapping[str, Table]) -> None:
    """Read the laboratory's columns: results first, since a unit is asked for where there is a number."""
    columns = rows.source.columns
    for name, column in columns.items():
        if column.result is not None:
            _results(rows, name, column.result, tables[column.result.texts])
    for name, column in columns.items():
        if column.unit is not None:
            _units(rows, name, column.unit, tables[column.unit.table])
        elif column.type == "range":
            _ranges(rows, name, column.range)


def _results(rows: _Rows, name: str, contract: ResultColumn, table: Table) -> None:
    values = rows.frame[name]
    codes, texts = values.array.codes, text.texts_of(values)
    forms = ResultTexts.read(table)
    read: list[Reading | None] = [forms.reading(one) for one in texts]
    unreadable = np.array([*(one is None for one in read), False], dtype=bool)
    _hold_unreadable(rows, name, rows.open() & unreadable[codes], table.file)
    kept = [one or Reading(None) for one in read]
    rows.frame = rows.frame.assign(**{name: text.column(codes, [one.result for one in kept], values.index)})
    if contract.reason is not None:
        reasons = text.column(codes, [one.reason for one in kept], values.index)
        rows.frame = rows.frame.assign(**{contract.reason: reasons})
    if contract.flag is not None and any(one.flag for one in kept):
        _move_flags(rows, name, contract.flag, text.column(codes, [one.flag for one in kept], values.index))
    lines = np.array([*(one.rule for one in kept), 0])
    for line in sorted(set(lines.tolist()) - {0}):
        mask = rows.open() & (lines[codes] == line)
        if mask.any():
            rows.find(
                "result_read_by_table",
                Severity.INFORMATION,
                name,
                mask,
                f"results were read as line {line} of {table.file} says, not as they are written",
                "Nothing, if that line reads them rightly",
                cause=forms.name_of(line),
            )


def _move_flags(rows: _Rows, result: str, column: str, found: pd.Series) -> None:
    """A flag that stood in the result goes to the flag's column; another one there already stands."""
    there = rows.frame[column]
    differ = text.map_rows([there, found], lambda one, two: "1" if one and two and one != two else None)
    mask = rows.open() & differ.notna().to_numpy()
    if mask.any():
        rows.find(
            "flag_contradicts",
            Severity.ANSWER,
            column,
            mask,
            f"the flag in {result} is another than that in {column}, which stands",
            "Ask the laboratory which flag is right",
        )
    rows.frame = rows.frame.assign(**{column: text.coalesce(there, found)})


def _units(rows: _Rows, name: str, contract: UnitColumn, table: Table) -> None:
    units = Units.read(table, contract.listed)
    values = rows.frame[name]
    columns = [rows.frame[contract.analyte], values, rows.frame[contract.of]]
    codes, combinations = text.combinations(columns)
    result: list[str | None] = []
    for code, (analyte, unit, collected) in enumerate(combinations):
        known = units.by_analyte.get(str(analyte), None) if analyte is not None else None
        written = None if unit is None else str(unit)
        if known is None:
            # What is no analyte of the study is said where the analyte is looked up.
            result.append(written)
            continue
        found = known.get(spelling(written or ""))
        numeric = collected is not None and numbers.parse_result(str(collected)) is not None
        if found is None and (written is not None or numeric):
            rule = "missing_unit" if written is None else "unknown_unit"
            _hold_unit(rows, rule, name, rows.open() & (codes == code), table.file, f"{analyte}\x1f{written}")
        result.append(found or None)
    rows.frame = rows.frame.assign(**{name: text.column(codes, result, values.index)})
    _say_unusual(rows, name, contract, units, table.file)


def _hold_unit(rows: _Rows, rule: str, name: str, mask: np.ndarray, file: str, cause: str) -> None:
    if not mask.any():
        return
    what = "a numeric result has no unit" if rule == "missing_unit" else "the unit is none of those listed"
    rows.hold(
        rule,
        name,
        mask,
        f"{what} for its analyte in {file}, so it cannot be interpreted",
        f"Ask the laboratory for the unit, or add it to {file}",
        cause=cause,
    )


def _say_unusual(rows: _Rows, name: str, contract: UnitColumn, units: Units, file: str) -> None:
    """One finding for each analyte and unit other than its usual one, with all its rows."""
    codes, pairs = text.combinations([rows.frame[contract.analyte], rows.frame[name]])
    for code, (analyte, unit) in enumerate(pairs):
        if analyte is None or unit is None or str(analyte) not in units.by_analyte:
            continue
        usual = units.usual(str(analyte))
        mask = rows.open() & (codes == code) if str(unit) != usual else np.zeros(0, dtype=bool)
        if mask.any():
            rows.find(
                "unit_not_usual",
                Severity.INFORMATION,
                name,
                mask,
                f"results came in {unit}, while {file} has {usual or 'no unit'} as the analyte's usual one; "
                "each is taken in the unit it was reported in",
                "Nothing, if the laboratory changed its analyser, reagent or unit; otherwise ask for the unit",
                cause=f"{analyte}\x1f{unit}",
            )


def _ranges(rows: _Rows, name: str, contract: RangeColumn | None) -> None:
    values = rows.frame[name]
    labels = text.missing(values.index) if contract is None else rows.frame[contract.by]
    allowed = () if contract is None else contract.labels
    codes, pairs = text.combinations([values, labels])
    read = [
        (True, None) if one is None else labelled_range(str(one), None if label is None else str(label), allowed)
        for one, label in pairs
    ]
    unreadable = np.array([not known for known, _ in read], dtype=bool)[codes] & rows.open()
    if unreadable.any():
        rows.find(
            "unreadable_range",
            Severity.ANSWER,
            name,
            unreadable,
            "the text is no reference range that can be interpreted; the result is taken without one",
            "Ask the laboratory for the range in force, or have it corrected at the source",
        )
    without = np.array([known and found is None and one is not None
                        for (known, found), (one, _) in zip(read, pairs, strict=True)], dtype=bool)  # fmt: skip
    mask = rows.open() & without[codes]
    if mask.any():
        rows.find(
            "range_not_for_row",
            Severity.ANSWER,
            name,
            mask,
            "the reference range has parts, and none of them is for this row; it has no range",
            "Ask the laboratory for the range in force",
        )
    rows.frame = rows.frame.assign(**{name: text.column(codes, [found for _, found in read], values.index)})


def _hold_unreadable(rows: _Rows, name: str, mask: np.ndarray, file: str) -> None:
    rule = "unreadable_result"
    mask = rows.not_released(rule, name, mask)
    if not mask.any():
        return
    rows.hold(
        rule,
        name,
        mask,
        "the text is no result that can be interpreted",
        f"Have the value corrected at the source, or add its form to {file}",
    )
