"""The way back as the database holds it: the links of a snapshot bundled, and its specification.

A large study has a million links, most of which differ in nothing but the record and the line. Those that agree in all
else are one row, a thousand at a time: `records` and `lines` belong together place by place, in the order of `records`,
and `first_record` and `last_record` say which rows may hold a record. ops.trace walks along them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

LINEAGE, SPECIFICATION = "lineage", "specification"
TABLES = (LINEAGE, SPECIFICATION)
BUNDLE = 1000
"""Links in a row, at most."""
LABELS: Mapping[str, Mapping[str, str]] = {
    LINEAGE: {
        "": "Links of records and values to raw lines, specification rows and other records",
        "dataset": "Dataset of the records",
        "variable": "Variable, where a value was taken from another record; else the whole record",
        "kind": "raw, superseded, correction, specification or record",
        "source": "File, or dataset of the other record",
        "sha256": "Hash of the raw file",
        "source_variable": "Variable taken from the other record, source read besides, or column corrected",
        "part": "Place of the record group in the specification of the dataset",
        "entry_column": "Column the record was made of, where a wide row was spread",
        "entry_file": "Table that says so",
        "entry_line": "Line of that table",
        "first_record": "First of the records",
        "last_record": "Last of the records",
        "records": "Records, from 1: record_number of the dataset",
        "lines": "For each record the line of the file, or the other record",
    },
    SPECIFICATION: {
        "": "What fills each variable, as the specification says it",
        "dataset": "Dataset",
        "variable": "Variable",
        "part": "Place of the record group the rule is of; none for all",
        "kind": "collected, derived, automatic, copy or the class of added records",
        "rule": "Rule",
        "collected": "Columns of the extract that are read",
        "inputs": "Variables that are read",
        "file": "File of the specification",
        "fingerprint": "Differs where the rule or a table it reads does",
    },
}


def table_of(name: str, table: pa.Table) -> tuple[str, pa.Table]:
    """The label of `lineage` or `specification`, and the table with its columns labelled, as the database takes it."""
    held = bundled(table) if name == LINEAGE else table
    labels = LABELS[name]
    fields = [field.with_metadata({"label": labels[field.name]}) for field in held.schema]
    return labels[""], held.cast(pa.schema(fields))


def bundled(links: pa.Table) -> pa.Table:
    """Links that agree in all but record and line as rows of at most BUNDLE, in the order of the records."""
    same = [name for name in links.column_names if name not in {"record", "line"}]
    codes = np.zeros(links.num_rows, dtype=np.int64)
    for name in same:
        values = links[name]
        values = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values, null_encoding="encode")
        one = values.combine_chunks()
        own = pc.fill_null(one.indices, len(one.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
        codes = pd.factorize(codes * (len(one.dictionary) + 1) + own)[0].astype(np.int64)
    records, lines = links["record"].to_numpy(), links["line"].to_numpy()
    order = np.lexsort((lines, records, codes))
    codes, records, lines = codes[order], records[order], lines[order]
    begins = np.flatnonzero(np.diff(codes, prepend=-1))
    sizes = np.diff(begins, append=len(codes))
    parts = -(-sizes // BUNDLE)
    # Within a group the n-th row begins n times BUNDLE links after its first.
    starts = np.repeat(begins, parts) + BUNDLE * (np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts))
    ends = np.append(starts, len(codes))[1:]
    columns = {name: links[name].take(pa.array(order[starts])) for name in same}
    offsets = pa.array(np.append(starts, len(codes)).astype(np.int32))
    return pa.table(
        {
            **columns,
            "first_record": pa.array(records[starts]),
            "last_record": pa.array(records[ends - 1]),
            "records": pa.ListArray.from_arrays(offsets, pa.array(records)),
            "lines": pa.ListArray.from_arrays(offsets, pa.array(lines)),
        }
    )
