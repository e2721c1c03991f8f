"""Dataset-JSON 1.1 against the published attributes, written down here by hand, and odmlib's own model of it."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odmlib.dataset_json_1_1.model import DatasetJSON

from tests.submission.tables import CREATED, batches, sized, table
from transforms.submission import dataset_json
from transforms.submission.dataset_json import About, Form
from transforms.submission.faults import ExportRefusedError
from transforms.submission.layout import layout_of

# The attribute tables of the specification, as a schema. The published one misses a wrong count and short rows.
TEXT = {"type": "string", "minLength": 1}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?([+-]\d{2}:\d{2}|Z)?$"}
COLUMN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["itemOID", "name", "label", "dataType"],
    "properties": {
        "itemOID": TEXT,
        "name": TEXT,
        "label": {"type": "string"},
        "dataType": {
            "enum": ["string", "integer", "decimal", "float", "double", "boolean", "datetime", "date", "time", "URI"],
        },
        "targetDataType": {"enum": ["integer", "decimal"]},
        "length": {"type": "integer", "minimum": 1},
        "displayFormat": {"type": "string"},
        "keySequence": {"type": "integer", "minimum": 1},
    },
}
FILE = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("datasetJSONCreationDateTime", "datasetJSONVersion", "itemGroupOID", "records", "name", "label", "columns"),
    ],
    "properties": {
        "datasetJSONCreationDateTime": MOMENT,
        "datasetJSONVersion": {"type": "string", "pattern": r"^1\.1(\.(0|[1-9][0-9]*))?$"},
        "studyOID": TEXT,
        "metaDataVersionOID": TEXT,
        "metaDataRef": {"type": "string"},
        "itemGroupOID": TEXT,
        "records": {"type": "integer", "minimum": 0},
        "name": TEXT,
        "label": {"type": "string"},
        "columns": {"type": "array", "items": COLUMN},
        "rows": {
            "type": "array",
            "items": {"type": "array", "items": {"type": ["string", "integer", "number", "boolean", "null"]}},
        },
    },
}
CONTENT = table(
    {
        "USUBJID": ["S-1", "S-2"],
        "AESEQ": [1.0, 2.0],
        "AVAL": pa.array([30.8983333232059, None]),
        "N": pa.array([None, 3], pa.int64()),
        "ADT": pa.array([date(2014, 1, 2), None]),
        "ADTM": pa.array([datetime(2014, 1, 2, 3, 4, 5), None], pa.timestamp("s")),
        "ATM": pa.array([time(13, 45), None], pa.time32("s")),
        "AETERM": pa.array(['a "quoted" term', None]).dictionary_encode(),
    }
)
EXPECTED = """\
{"datasetJSONCreationDateTime":"2025-01-31T00:00:00","datasetJSONVersion":"1.1.0","studyOID":"STDY.1",\
"itemGroupOID":"IG.AE","records":2,"name":"AE","label":"Adverse Events","columns":[\
{"itemOID":"IT.AE.USUBJID","name":"USUBJID","label":"Label of USUBJID","dataType":"string","length":3,"keySequence":1},\
{"itemOID":"IT.AE.AESEQ","name":"AESEQ","label":"Label of AESEQ","dataType":"integer","keySequence":2},\
{"itemOID":"IT.AE.AVAL","name":"AVAL","label":"Label of AVAL","dataType":"decimal","targetDataType":"decimal",\
"length":16},\
{"itemOID":"IT.AE.N","name":"N","label":"Label of N","dataType":"integer"},\
{"itemOID":"IT.AE.ADT","name":"ADT","label":"Label of ADT","dataType":"date","targetDataType":"integer",\
"displayFormat":"DATE9."},\
{"itemOID":"IT.AE.ADTM","name":"ADTM","label":"Label of ADTM","dataType":"datetime","targetDataType":"integer",\
"displayFormat":"DATETIME20."},\
{"itemOID":"IT.AE.ATM","name":"ATM","label":"Label of ATM","dataType":"time","targetDataType":"integer",\
"displayFormat":"TIME5."},\
{"itemOID":"IT.AE.AETERM","name":"AETERM","label":"Label of AETERM","dataType":"string","length":15}]}
["S-1",1,"30.8983333232059",null,"2014-01-02","2014-01-02T03:04:05","13:45:00","a \\"quoted\\" term"]
["S-2",2,null,3,null,null,null,null]
"""


def write(path: Path, content: pa.Table, form: Form, rows: int = 1 << 16, **about: Any) -> str:
    shape = sized(content, "utf-8")
    shape = type(shape)(shape.name, shape.label, shape.variables, ("USUBJID", "AESEQ"))
    counted = dataset_json.write(path, shape, lambda: batches(content, rows), form=form, about=About(CREATED, **about))
    assert counted == content.num_rows
    return path.read_text(encoding="utf-8")


def test_ndjson_as_written_by_hand(tmp_path: Path) -> None:
    assert write(tmp_path / "ae.ndjson", CONTENT, "ndjson", study_oid="STDY.1") == EXPECTED


def test_json_holds_the_same(tmp_path: Path) -> None:
    head, *rows = (json.loads(line) for line in EXPECTED.splitlines())
    written = json.loads(write(tmp_path / "ae.json", CONTENT, "json", study_oid="STDY.1"))
    assert written == {**head, "rows": rows}
    assert list(written) == [*head, "rows"], "the order of attributes is the recommended one"


@pytest.mark.parametrize("content", [CONTENT, CONTENT.slice(0, 0)])
def test_the_published_attributes(tmp_path: Path, content: pa.Table) -> None:
    written = json.loads(write(tmp_path / "ae.json", content, "json", metadata_ref="define.xml"))
    jsonschema.validate(written, FILE)
    assert written["records"] == len(written["rows"]) == content.num_rows
    assert {len(row) for row in written["rows"]} <= {len(written["columns"])}
    write(tmp_path / "ae.ndjson", content, "ndjson", metadata_ref="define.xml")
    for model in (
        DatasetJSON.read_json(str(tmp_path / "ae.json")),
        DatasetJSON.read_ndjson(str(tmp_path / "ae.ndjson")),
    ):
        assert model.records == content.num_rows
        assert [column.name for column in model.columns] == content.column_names
        assert (model.rows or []) == written["rows"]


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers)
def test_a_decimal_reads_as_the_same_double(number: float) -> None:
    written = dataset_json.decimal(number)
    assert float(written) == number
    assert "e" not in written.lower()
    assert written != "-0"


def test_neither_batches_nor_encoding_show(tmp_path: Path) -> None:
    content = table({"USUBJID": ["乏力", "b"] * 5, "AESEQ": [float(number) for number in range(10)]})
    assert write(tmp_path / "1.json", content, "json") == write(tmp_path / "2.json", content, "json", rows=3)


def test_an_infinite_number_is_refused(tmp_path: Path) -> None:
    content = table({"A": [1.0, math.inf]})
    with pytest.raises(
        ExportRefusedError, match=r"AE.A: an infinite number, which JSON does not know in 1 record\(s\): 2"
    ):
        dataset_json.write(
            tmp_path / "ae.json",
            layout_of(content.schema),
            lambda: batches(content),
            form="json",
            about=About(CREATED),
        )
    assert list(tmp_path.iterdir()) == []
