"""Whether a define says what the data are: names, order, labels, types, lengths, values, keys, and all by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyreadstat
from lxml import etree

from transforms.core import numbers
from transforms.submission.define import profile as profiles
from transforms.submission.define.document import DefineFault, Document, named
from transforms.submission.define.profile import Data
from transforms.submission.define.xml_file import DEF

NUMBERS = frozenset({"integer", "float"})
ISO = {
    "date": profiles.DATE,
    "datetime": profiles.DATETIME,
    "partialDate": profiles.PARTIAL_DATE,
    "partialDatetime": profiles.PARTIAL_DATETIME,
}


@dataclass(frozen=True)
class Delivered:
    """A dataset as delivered: its values (missing ones null), its label, and label and length of each variable.

    A length is the bytes of the variable in a transport file, or those of the longest value.
    """

    name: str
    label: str
    table: pa.Table
    labels: Mapping[str, str]
    lengths: Mapping[str, int]


def from_snapshot(data: Data, lengths: Mapping[str, int]) -> Delivered:
    """A finished dataset of a snapshot, with the lengths that its texts have in a transport file."""
    names = data.table.column_names
    lengths = {name: lengths.get(name, profiles.NUMBER_BYTES) for name in names}
    labels = {name: data.field(name).get("label", "") for name in names}
    return Delivered(data.name, data.described.get("label", ""), data.table, labels, lengths)


def from_transport(path: Path, encoding: str | None = None) -> Delivered:
    """A transport file as an independent reader (pyreadstat) reads it; a blank text is missing."""
    frame, described = pyreadstat.read_xport(str(path), encoding=encoding, disable_datetime_conversion=True)
    arrays = {}
    for name in frame.columns:
        values = frame[name]
        if values.dtype.kind == "f":
            arrays[name] = pa.array(values, from_pandas=True)
        else:
            arrays[name] = pa.array([one if isinstance(one, str) and one else None for one in values], pa.string())
    return Delivered(
        described.table_name or path.stem.upper(),
        described.file_label or "",
        pa.table(arrays),
        {name: label or "" for name, label in described.column_names_to_labels.items()},
        described.variable_storage_width,
    )


def row_problems(delivered: Iterable[Delivered], snapshot: Mapping[str, Data]) -> Iterator[DefineFault]:
    """Datasets that were delivered with other records than the snapshot has, in number (rule `rows_differ`)."""
    for one in delivered:
        own = snapshot.get(one.name)
        rows = own.table.num_rows if own is not None else None
        if rows != one.table.num_rows:
            yield DefineFault("rows_differ", one.name, f"{one.table.num_rows} records, the snapshot has {rows}")


def page_problems(document: Document, pages: Mapping[str, tuple[int, ...]]) -> Iterator[DefineFault]:
    """Pages that the define gives for a variable and on which the annotated CRF does not have it (rule `crf_page`)."""
    for item in document.items.values():
        name = item.get("OID", "").removeprefix("IT.")
        drawn = pages.get(name) or pages.get(".".join(name.split(".")[:2]), ())
        for reference in document.find("def:Origin/def:DocumentRef/def:PDFPageRef", item):
            said = reference.get("PageRefs", "")
            if said.split() != [str(one) for one in drawn]:
                there = " ".join(map(str, drawn)) or "no page"
                yield DefineFault("crf_page", name, f"pages {said}; the annotated CRF has it on {there}")


def agreement_problems(
    document: Document, delivered: Iterable[Delivered], encoding: str = "ascii"
) -> list[DefineFault]:
    """Where the data are not as the define says; lengths of values are in bytes of the encoding."""
    found: list[DefineFault] = []
    known = {group.get("Name", ""): group for group in document.groups}
    seen = set()
    for one in delivered:
        seen.add(one.name)
        group = known.get(one.name)
        if group is None:
            found.append(DefineFault("dataset_not_described", one.name, "is not in the define"))
            continue
        found.extend(_dataset_problems(document, group, one, encoding))
    missing = sorted(set(known) - seen)
    found.extend(DefineFault("dataset_not_delivered", name, "is not among the data") for name in missing)
    return found


def _dataset_problems(
    document: Document, group: etree._Element, one: Delivered, encoding: str
) -> Iterator[DefineFault]:
    name = one.name
    if document.text(group) != one.label:
        yield DefineFault("dataset_label_differs", name, f"{document.text(group)!r}, the data have {one.label!r}")
    if (group.get(f"{{{DEF}}}HasNoData") == "Yes") != (one.table.num_rows == 0):
        yield DefineFault("has_no_data_differs", name, f"{one.table.num_rows} records")
    described = {item.get("Name", ""): (reference, item) for reference, item in document.variables(group)}
    columns = one.table.column_names
    for variable in sorted(set(described) - set(columns)):
        yield DefineFault("variable_not_delivered", f"{name}.{variable}", "is not among the data")
    for variable in sorted(set(columns) - set(described)):
        yield DefineFault("variable_not_described", f"{name}.{variable}", "is not in the define")
    both = [variable for variable in columns if variable in described]
    if both != [variable for variable in described if variable in columns]:
        yield DefineFault("variable_order_differs", name, f"the data have {', '.join(both)}")
    for variable in both:
        yield from _variable_problems(document, one, variable, *described[variable], encoding)
    yield from _key_problems(one, described)


def _variable_problems(
    document: Document, one: Delivered, variable: str, reference: etree._Element, item: etree._Element, encoding: str
) -> Iterator[DefineFault]:
    place = f"{one.name}.{variable}"
    column = one.table[variable]
    label = document.text(item)
    if label != one.labels.get(variable, ""):
        yield DefineFault("label_differs", place, f"{label!r}, the data have {one.labels.get(variable)!r}")
    length = item.get("Length")
    if length is not None and int(length) != one.lengths[variable]:
        yield DefineFault("length_differs", place, f"{length}, the data have {one.lengths[variable]}")
    empty = column.null_count == len(column)
    if (reference.get(f"{{{DEF}}}HasNoData") == "Yes") != empty and one.table.num_rows:
        yield DefineFault("has_no_data_differs", place, "no record has a value" if empty else "records have values")
    if reference.get("Mandatory") == "Yes" and column.null_count:
        yield DefineFault("mandatory_missing", place, f"is mandatory and missing in {column.null_count} records")
    yield from _value_problems(document, place, item, column, is_variable=True)
    for values in document.find("def:ValueListRef", item):
        yield from _list_problems(document, one, variable, values.get("ValueListOID", ""), encoding)


def _value_problems(
    document: Document, place: str, item: etree._Element, column: pa.ChunkedArray, *, is_variable: bool
) -> Iterator[DefineFault]:
    """Type, decimal digits and codelist of the values of a variable, or of those under a where clause."""
    kind = item.get("DataType", "")
    is_text = pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)
    if is_variable and is_text != (kind not in NUMBERS):
        yield DefineFault("type_differs", place, f"{kind}, the data are {'text' if is_text else 'numbers'}")
        return
    if pa.types.is_temporal(column.type):
        return
    distinct = pc.unique(column).drop_null().to_pylist()
    written = [one if isinstance(one, str) else numbers.number_text(float(one)) for one in distinct]
    fits = _fitting(kind)
    unfit = [] if fits is None else [one for one in written if not fits(one)]
    if unfit:
        yield DefineFault("type_differs", place, f"{len(unfit)} values are no {kind}")
    digits = item.get("SignificantDigits")
    if digits is not None and not unfit:
        used = max((len(one.partition(".")[2]) for one in written), default=0)
        if used != int(digits):
            yield DefineFault("digits_differ", place, f"{digits} decimal digits, the data have {used}")
    codelist = document.codelist_of(item)
    if codelist is None or document.find("odm:ExternalCodeList", codelist):
        return
    terms = {term.get("CodedValue", "") for term in document.terms(codelist)}
    for value in sorted(set(written) - terms):
        yield DefineFault("value_not_in_codelist", place, f"{value} is not in {codelist.get('OID')}")
    for term in sorted(terms - set(written)):
        yield DefineFault("term_not_used", place, f"{term} of {codelist.get('OID')} is not used")


def _fitting(kind: str) -> Callable[[str], object] | None:
    if kind == "integer":
        return profiles.INTEGER.fullmatch
    if kind == "float":
        return profiles.DECIMAL.fullmatch
    pattern = ISO.get(kind)
    return pattern.fullmatch if pattern is not None else None


def _list_problems(document: Document, one: Delivered, variable: str, oid: str, encoding: str) -> Iterator[DefineFault]:
    """Each where clause has records, its values are as described, and every value stands under a clause."""
    values = document.value_lists.get(oid)
    column = one.table[variable].combine_chunks()
    described = pc.is_null(column)
    for reference in document.references(values) if values is not None else []:
        item = document.items.get(reference.get("ItemOID", ""))
        clauses = [clause.get("WhereClauseOID", "") for clause in document.find("def:WhereClauseRef", reference)]
        where = document.wheres.get(clauses[0]) if clauses else None
        if item is None or where is None:
            continue
        mask = _holds(document, one, where)
        taken = pc.filter(column, mask).drop_null()
        place = f"{one.name}.{variable} {where.get('OID')}"
        if not len(taken):
            yield DefineFault("where_without_records", place, f"no record has a value: {named(reference)}")
            continue
        described = pc.or_(described, mask)
        yield from _value_problems(document, place, item, pa.chunked_array([taken]), is_variable=False)
        length = item.get("Length")
        if length is not None and pa.types.is_string(column.type):
            used = profiles.longest(pc.unique(taken).to_pylist(), encoding)
            if int(length) != used:
                yield DefineFault("length_differs", place, f"{length}, the values have {used}")
    left = one.table.num_rows - (pc.sum(described).as_py() or 0)
    if left:
        yield DefineFault("value_not_described", f"{one.name}.{variable}", f"{left} values stand under no clause")


def _holds(document: Document, one: Delivered, where: etree._Element) -> pa.Array:
    mask = pa.array([True] * one.table.num_rows)
    for asked, _, wanted in document.conditions(where):
        item = document.items.get(asked)
        name = item.get("Name", "") if item is not None else ""
        if name not in one.table.column_names:
            return pa.array([False] * one.table.num_rows)
        column = one.table[name].combine_chunks()
        texts = pa.array(wanted)
        hit = pc.is_in(column if pa.types.is_string(column.type) else pc.cast(column, pa.string()), value_set=texts)
        mask = pc.and_(mask, hit)
    return mask


def _key_problems(
    one: Delivered, described: Mapping[str, tuple[etree._Element, etree._Element]]
) -> Iterator[DefineFault]:
    """The keys make a record unique."""
    numbered = {
        int(reference.get("KeySequence", "0")): variable
        for variable, (reference, _) in described.items()
        if reference.get("KeySequence") and variable in one.table.column_names
    }
    keys = [numbered[place] for place in sorted(numbered)]
    if not keys or not one.table.num_rows:
        return
    frame: pd.DataFrame = one.table.select(keys).to_pandas(strings_to_categorical=True)
    again = int(frame.duplicated().sum())
    if again:
        yield DefineFault("key_not_unique", one.name, f"{again} records repeat the keys {', '.join(keys)}")
