"""What related records belong to: parents and members that are in the package, and those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pyarrow as pa
import pytest

from tests.submission.tables import table
from transforms.submission.agencies import AGENCIES
from transforms.submission.contents import TABULATIONS, Contents, Submitted
from transforms.submission.layout import layout_of
from transforms.submission.related import REMEDY, related_exists

Columns = Mapping[str, list[object]]
DATASETS: dict[str, Columns] = {
    "DM": {"USUBJID": ["S-001", "S-002"]},
    "TA": {"ARMCD": ["A", "B"]},
    "AE": {"USUBJID": ["S-001", "S-002", "S-002"], "AESEQ": [1.0, 1.0, 2.0], "AETERM": ["Fatigue", "Itch", "Itch"]},
    "SUPPDM": {"RDOMAIN": ["DM"], "USUBJID": ["S-002"], "IDVAR": [""], "IDVARVAL": [""]},
    "SUPPAE": {
        "RDOMAIN": ["AE", "AE"], "USUBJID": ["S-001", "S-002"], "IDVAR": ["AESEQ", "AESEQ"], "IDVARVAL": ["1", "2"],
    },
    "CO": {
        "RDOMAIN": ["AE", "AE", None, "TA"],
        "USUBJID": ["S-002", "S-002", "S-002", None],
        "IDVAR": ["AESEQ", "", "", "ARMCD"],
        "IDVARVAL": ["2.0", "", "", "B"],
    },
    "RELREC": {
        "RDOMAIN": ["AE", "AE", "AE", "DM"],
        "USUBJID": ["S-002", "S-002", None, None],
        "IDVAR": ["AESEQ", "AETERM", "AETERM", "USUBJID"],
        "IDVARVAL": ["1", "Itch", "", ""],
        "RELID": ["1", "1", "A", "A"],
    },
}  # fmt: skip


def contents(changed: Mapping[str, Columns] | None = None) -> Contents:
    """A package of DATASETS; `changed` has other columns of some."""
    datasets = []
    for name, columns in DATASETS.items():
        arrays = {key: pa.array(one) for key, one in {**columns, **(changed or {}).get(name, {})}.items()}
        content = table(arrays, name)
        file = f"{TABULATIONS}/{name.lower()}.xpt"
        layout = layout_of(content.schema)
        datasets.append(Submitted(layout, {}, content.num_rows, file, lambda content=content: content.to_batches(2)))  # type: ignore[misc]
    return Contents("S 01", "s-01", AGENCIES["fda"], date(2025, 1, 31), datasets, {})


def test_everything_is_there() -> None:
    assert list(related_exists(contents())) == []


@pytest.mark.parametrize(
    ("changed", "variable", "problem", "records"),
    [
        ({"SUPPAE": {"RDOMAIN": ["AE", "XX"]}}, "RDOMAIN", "a domain that is not in the package", (2,)),
        ({"SUPPAE": {"RDOMAIN": ["AE", None]}}, "RDOMAIN", "a domain that is not in the package", (2,)),
        ({"SUPPAE": {"IDVAR": ["AENO", "AESEQ"]}}, "IDVAR", "no variable of the domain", (1,)),
        ({"SUPPAE": {"IDVARVAL": ["2", "3"]}}, "IDVARVAL", "a value that no record of the subject in the", (1, 2)),
        ({"SUPPAE": {"IDVARVAL": ["one", None]}}, "IDVARVAL", "a value that no record of the subject in the", (1, 2)),
        ({"SUPPAE": {"IDVAR": ["AETERM", "AETERM"]}}, "IDVARVAL", "a value that no record of the subject", (1, 2)),
        ({"SUPPDM": {"USUBJID": ["s-002"]}}, "USUBJID", "a subject without a record in the domain", (1,)),
        ({"SUPPDM": {"IDVARVAL": ["1"]}}, "IDVARVAL", "a value without the variable it is of", (1,)),
        ({"CO": {"RDOMAIN": ["AE", "XX", None, "TA"]}}, "RDOMAIN", "a domain that is not in the package", (2,)),
        ({"CO": {"USUBJID": ["S-001", *["S-002"] * 2, None]}}, "IDVARVAL", "a value that no record of the subj", (1,)),
        ({"CO": {"IDVARVAL": ["2", "", "", "C"]}}, "IDVARVAL", "a value that no record of the subject", (4,)),
        ({"RELREC": {"IDVARVAL": ["3", "Itch", "", ""]}}, "IDVARVAL", "a value that no record of the subject", (1,)),
        ({"RELREC": {"RDOMAIN": ["AE", "AE", "AE", "CM"]}}, "RDOMAIN", "a domain that is not in the package", (4,)),
        ({"RELREC": {"IDVAR": ["AESEQ", "AETERM", "AENO", "USUBJID"]}}, "IDVAR", "no variable of the domain", (3,)),
        ({"RELREC": {"RELID": ["1", "2", "A", "B"]}}, "RELID", "a relation with a single member", (1, 2, 3, 4)),
        (
            {"RELREC": {"IDVAR": ["AESEQ", "AESEQ", "AETERM", "USUBJID"], "IDVARVAL": ["2", "2", "", ""]}},
            "RELID",
            "a relation with a single member",
            (1, 2),
        ),
    ],
)
def test_what_is_not_there(
    changed: Mapping[str, Columns], variable: str, problem: str, records: tuple[int, ...]
) -> None:
    (fault,) = related_exists(contents(changed))
    assert (fault.dataset, fault.variable, fault.records) == (next(iter(changed)), variable, records)
    assert fault.problem.startswith(problem) and fault.count == len(records) and fault.remedy == REMEDY
