"""The technical checklist of a package: what is checked is data (checklist.yml), how is here, by name.

A line has a `check`, or the parameters `required` in TS, or is `found_by` those who wrote the files, or is `not_run`,
with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core import dates
from transforms.study.yaml import read_yaml
from transforms.submission.agencies import Agency
from transforms.submission.faults import SHOWN, Fault
from transforms.submission.layout import Layout, shared_lengths

CHECKLIST = Path(__file__).with_name("checklist.yml")
PATH = re.compile(r"[a-z0-9-]+(\.[a-z0-9]+)?")
LONGEST_NAME = 64
NUMBER = "record number"
RELATED = frozenset({"RELREC"})  # also relates whole datasets, without a subject
DEFINE = "define.xml"
PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("（", "）"), ("［", "］"), ("｛", "｝"), ("“", "”"), ("‘", "’"))
NOT_IN_CHINESE = re.compile(r"^[0-9]|[<>＜＞]")
TABULATIONS, DATASETS = "tabulations/sdtm", "analysis/adam/datasets"
PROGRAMS = "analysis/adam/programs"
Outcome = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Submitted:
    """A dataset of the package: its layout, the bytes its texts use, its records, the file, as in the package.

    `readers` are those that read the file back and found the dataset in it.
    """

    layout: Layout
    lengths: Mapping[str, int]
    records: int
    file: str
    batches: Callable[[], Iterable[pa.RecordBatch]]
    readers: tuple[str, ...] = ()

    def columns(self, *names: str) -> pa.Table:
        """Some of its variables, as a table."""
        wanted = [pa.table({name: _plain(batch.column(name)) for name in names}) for batch in self.batches()]
        return pa.concat_tables(wanted) if wanted else pa.table({name: pa.array([], pa.string()) for name in names})

    def has(self, name: str) -> bool:
        """True if it has a variable of that name."""
        return any(variable.name == name for variable in self.layout.variables)


@dataclass(frozen=True)
class Contents:
    """What a package holds: its datasets, and the size of every file below `m5/datasets/<study>/`, by path.

    `found` has what those who wrote the files found wrong with them, by the name of the check; a check that nobody made
    is not in it.
    """

    studyid: str
    study_folder: str
    agency: Agency
    datasets: Sequence[Submitted]
    files: Mapping[str, int]
    found: Mapping[str, Sequence[Fault]] = field(default_factory=dict)

    def dataset(self, name: str) -> Submitted | None:
        """The dataset of that name."""
        return next((one for one in self.datasets if one.layout.name == name), None)


@dataclass(frozen=True)
class Result:
    """One line of the checklist and what came of it."""

    id: str
    says: str
    source: str
    outcome: Outcome
    reason: str
    faults: tuple[Fault, ...]


def results(contents: Contents) -> list[Result]:
    """Go through the checklist of the package's agency."""
    found = []
    for line in read_yaml(CHECKLIST):
        if contents.agency.name in line["agencies"]:
            faults, reason = _found(contents, line)
            outcome: Outcome = "not run" if reason else "fail" if faults else "pass"
            found.append(Result(line["id"], line["says"], line["source"], outcome, reason, faults))
    return found


def _found(contents: Contents, line: Mapping[str, Any]) -> tuple[tuple[Fault, ...], str]:
    """What a line finds, and why it was not run; one of both is empty."""
    if "check" in line:
        return tuple(CHECKS[line["check"]](contents)), ""
    if "required" in line:
        return tuple(_required_parameters(contents, line["required"])), ""
    if "not_run" in line:
        return (), line["not_run"]
    told = contents.found.get(line["found_by"])
    return tuple(told or ()), "" if told is not None else "Nobody who wrote the package made this check"


def tag_of(file: str, agency: Agency) -> str | None:
    """The file tag of the study tagging file, from where a file lies; None where it has none.

    The words are those of ICH's list of valid values for study tagging files.
    """
    tabulations, analyses = agency.guide_tags
    path = PurePosixPath(file)
    kinds: dict[str, Mapping[str, str]] = {
        TABULATIONS: {
            ".xpt": "data-tabulation-dataset-sdtm",
            "define": "data-tabulation-data-definition",
            "csdrg.pdf": tabulations,
            "acrf.pdf": "annotated-crf",
        },
        DATASETS: {
            ".xpt": "analysis-dataset-adam",
            "define": "analysis-data-definition",
            "adrg.pdf": analyses,
        },
        PROGRAMS: {".txt": "analysis-program"},
    }
    known = kinds.get(path.parent.as_posix(), {})
    return known.get(path.name) or known.get(path.stem) or known.get(path.suffix)


def _trial_start(contents: Contents) -> Iterator[Fault]:
    remedy = "Write the trial summary in the study's configuration (sdtm/ts.yml)"
    trial = contents.dataset("TS")
    if trial is None:
        yield Fault("TS", "", "is not in the package, so that it has no study start date", remedy)
        return
    table = trial.columns("STUDYID", "TSPARMCD", "TSVAL")
    starts = table.filter(pc.equal(table["TSPARMCD"], "SSTDTC"))["TSVAL"].to_pylist()
    if not starts:
        yield Fault("TS", "TSVAL", "has no parameter SSTDTC, the study start date", remedy)
    elif any(value is None or len(value) < 10 or not dates.is_iso(value) for value in starts):
        yield Fault("TS", "TSVAL", "its parameter SSTDTC is no complete ISO 8601 date", remedy)
    if set(table["STUDYID"].to_pylist()) != {contents.studyid}:
        yield Fault("TS", "STUDYID", f"is not {contents.studyid}, the study of the package", remedy)


def _required_parameters(contents: Contents, rules: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    trial = contents.dataset("TS")
    if trial is None:
        return
    said = [name for name in ("TSVAL", "TSVALNF") if trial.has(name)]
    known: dict[str, set[str]] = {}
    for row in trial.columns("TSPARMCD", *said).to_pylist():
        known.setdefault(row["TSPARMCD"], set()).update(row[name] for name in said if row[name])
    for rule in rules:
        if all(value in known.get(code, ()) for code, value in rule.get("when", {}).items()):
            because = "".join(f", which {code} {value} asks for" for code, value in rule.get("when", {}).items())
            for code in rule["parameters"]:
                if code not in known:
                    remedy = "Write it in the trial summary, with TSVALNF where there is no value"
                    yield Fault("TS", "TSPARMCD", f"has no parameter {code}{because}", remedy)
                elif not known[code]:
                    remedy = "Write its value in the trial summary, or in TSVALNF why there is none"
                    yield Fault("TS", "TSVAL", f"its parameter {code} has no value{because}", remedy)


def _file_tags(contents: Contents) -> Iterator[Fault]:
    for file in contents.files:
        if tag_of(file, contents.agency) is None:
            yield Fault(file, "", "has no file tag", "Put no other files into the package")


def _required_files(contents: Contents) -> Iterator[Fault]:
    analysis = any(one.file.startswith(DATASETS) for one in contents.datasets)
    names = [("DM", TABULATIONS), *([("ADSL", DATASETS)] if analysis else [])]
    for name, _ in names:
        if contents.dataset(name) is None:
            yield Fault(name, "", "is not in the package", "Map it; no study is taken without it")
    for _, folder in names:
        if f"{folder}/{DEFINE}" not in contents.files:
            yield Fault(f"{folder}/{DEFINE}", "", "is not in the package", "Write it from the specification")


def _path_names(contents: Contents) -> Iterator[Fault]:
    remedy = "Rename it with a to z, 0 to 9 and hyphens"
    for path in (contents.study_folder, *contents.files):
        for part in PurePosixPath(path).parts:
            if not PATH.fullmatch(part) or len(part) > LONGEST_NAME:
                yield Fault(path, "", f"{part} is no name an eCTD takes", remedy)


def _read_back(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        if not one.readers:
            yield Fault(one.file, "", "was not read back", "Do not send it")


def _file_names(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        if PurePosixPath(one.file).name != f"{one.layout.name.lower()}.xpt":
            yield Fault(one.layout.name, "", f"lies in {one.file}", "Name the file as the dataset")


def _labels(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        layout = one.layout
        for name, label in (("", layout.label), *((variable.name, variable.label) for variable in layout.variables)):
            if not label.strip():
                yield Fault(layout.name, name, "has no label", "Give it one in the specification")
            elif not _paired(label):
                yield Fault(layout.name, name, "has brackets or quotation marks without a pair", "Reword the label")
            elif contents.agency.chinese and NOT_IN_CHINESE.search(label):
                problem = "has a label that begins with a digit or holds < or >"
                yield Fault(layout.name, name, problem, "Reword the Chinese label")


def _paired(label: str) -> bool:
    depth = {opening: 0 for opening, _ in PAIRS}
    for character in label:
        for opening, closing in PAIRS:
            depth[opening] += (character == opening) - (character == closing)
        if min(depth.values()) < 0:
            return False
    return not any(depth.values()) and label.count('"') % 2 == 0 and label.count("'") % 2 == 0


def _lengths(contents: Contents) -> Iterator[Fault]:
    expected = shared_lengths({one.layout.name: one.lengths for one in contents.datasets})
    for one in contents.datasets:
        for variable in one.layout.variables:
            needed = expected[one.layout.name].get(variable.name, variable.length)
            if variable.length != needed:
                problem = f"has the length {variable.length}; {needed} is used"
                yield Fault(one.layout.name, variable.name, problem, "Give it the length used")


def _sizes(contents: Contents) -> Iterator[Fault]:
    for file, size in contents.files.items():
        if size > contents.agency.largest_bytes:
            problem = f"has {size:,} bytes; {contents.agency.name} takes {contents.agency.largest_bytes:,}"
            yield Fault(file, "", problem, "Split the dataset in the mapping")


def _unique_keys(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        keys = one.layout.keys
        if not keys:
            yield Fault(one.layout.name, "", "has no keys", "Name them in the specification")
            continue
        table = one.columns(*keys).append_column(NUMBER, pa.array(range(1, one.records + 1), pa.int64()))
        grouped = table.group_by(list(keys)).aggregate([(NUMBER, one) for one in ("min", "max", "count")])
        twice = grouped.filter(pc.greater(grouped[f"{NUMBER}_count"], 1))
        if twice.num_rows:
            count = int(pc.sum(twice[f"{NUMBER}_count"]).as_py())
            numbers = {*twice[f"{NUMBER}_min"].to_pylist(), *twice[f"{NUMBER}_max"].to_pylist()}
            first = tuple(sorted(numbers)[:SHOWN])
            problem = f"the same {', '.join(keys)} stands in more than one record"
            yield Fault(one.layout.name, "", problem, "Correct the keys or the records in the mapping", count, first)


def _identifiers(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        wanted_of = {"STUDYID": contents.studyid}
        if one.file.startswith(TABULATIONS):
            wanted_of["DOMAIN"] = one.layout.name
        for name, wanted in wanted_of.items():
            if one.has(name):
                other = pc.fill_null(pc.not_equal(one.columns(name)[name], wanted), True)
                yield from _records(one, name, other, f"is not {wanted}", "Correct it in the mapping")


def _subjects(contents: Contents) -> Iterator[Fault]:
    demographics = contents.dataset("DM")
    if demographics is None:
        return
    known = demographics.columns("USUBJID")["USUBJID"].combine_chunks().unique()
    for one in contents.datasets:
        if one.has("USUBJID") and one is not demographics:
            column = one.columns("USUBJID")["USUBJID"]
            if one.layout.name not in RELATED and not one.has("SPDEVID"):
                yield from _records(one, "USUBJID", pc.is_null(column), "no subject", "Hold the records, or map it")
            unknown = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=known)))
            yield from _records(one, "USUBJID", unknown, "a subject that is not in DM", "Hold the records, or map it")


def _iso_dates(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        for variable in one.layout.variables:
            if variable.is_text and variable.name.endswith("DTC"):
                column = one.columns(variable.name)[variable.name]
                distinct = column.unique()
                wrong = [value for value in distinct.to_pylist() if value is not None and not dates.is_iso(value)]
                found = pc.is_in(column, value_set=pa.array(wrong, column.type))
                yield from _records(one, variable.name, found, "no ISO 8601 date", "Correct it in the mapping")


def _records(one: Submitted, variable: str, found: pa.ChunkedArray, problem: str, remedy: str) -> Iterator[Fault]:
    numbers = np.flatnonzero(found.to_numpy(zero_copy_only=False)) + 1
    if len(numbers):
        first = tuple(int(number) for number in numbers[:SHOWN])
        yield Fault(one.layout.name, variable, problem, remedy, len(numbers), first)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


CHECKS: Mapping[str, Callable[[Contents], Iterable[Fault]]] = {
    "trial_start": _trial_start,
    "file_tags": _file_tags,
    "required_files": _required_files,
    "path_names": _path_names,
    "file_names": _file_names,
    "read_back": _read_back,
    "labels": _labels,
    "lengths": _lengths,
    "sizes": _sizes,
    "unique_keys": _unique_keys,
    "identifiers": _identifiers,
    "subjects": _subjects,
    "iso_dates": _iso_dates,
}


def as_json(result: Result) -> dict[str, Any]:
    """One line of the checklist as the manifest holds it."""
    return {**result.__dict__, "faults": [str(fault) for fault in result.faults]}
