"""The technical checklist of a package: what is checked is data (checklist.yml), how is here, by name.

A line has a `check`, or the parameters `required` in TS, or is `found_by` those who wrote the files, or is `not_run`,
with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from transforms.core import dates
from transforms.study.yaml import read_yaml
from transforms.submission import trial
from transforms.submission.agencies import Agency
from transforms.submission.contents import DATASETS, PROGRAMS, TABULATIONS, Contents, record_faults
from transforms.submission.faults import SHOWN, Fault
from transforms.submission.layout import SUPPLEMENTAL, shared_lengths
from transforms.submission.related import related_exists

CHECKLIST = Path(__file__).with_name("checklist.yml")
PATH = re.compile(r"[a-z0-9-]+(\.[a-z0-9]+)?")
LONGEST_NAME = 64
NUMBER = "record number"
RELATED = frozenset({"RELREC"})  # also relates whole datasets, without a subject
DEFINE = "define.xml"
PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("（", "）"), ("［", "］"), ("｛", "｝"), ("“", "”"), ("‘", "’"))
NOT_IN_CHINESE = re.compile(r"^[0-9]|[<>＜＞]")
Outcome = Literal["pass", "fail", "not run"]


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
        return tuple(trial.required_parameters(contents, line["required"])), ""
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
        if one.layout.name.startswith(SUPPLEMENTAL):
            wanted_of["RDOMAIN"] = one.layout.name.removeprefix(SUPPLEMENTAL)
        for name, wanted in wanted_of.items():
            if one.has(name):
                other = pc.fill_null(pc.not_equal(one.columns(name)[name], wanted), True)
                yield from record_faults(one, name, other, f"is not {wanted}", "Correct it in the mapping")


def _subjects(contents: Contents) -> Iterator[Fault]:
    demographics = contents.dataset("DM")
    if demographics is None:
        return
    subjects = demographics.columns("USUBJID")["USUBJID"]
    known, named = subjects.combine_chunks().unique(), subjects.to_pandas()
    twin = named.str.upper().duplicated(keep=False) & ~named.duplicated(keep=False)
    problem, remedy = (
        "a subject that differs from another only in case",
        "Make them one in the mapping or at the source",
    )
    yield from record_faults(demographics, "USUBJID", twin.to_numpy(), problem, remedy)
    for one in contents.datasets:
        if one.has("USUBJID") and one is not demographics:
            column = one.columns("USUBJID")["USUBJID"]
            if one.layout.name not in RELATED and not one.has("SPDEVID"):
                yield from record_faults(
                    one, "USUBJID", pc.is_null(column), "no subject", "Hold the records, or map it"
                )
            unknown = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=known)))
            yield from record_faults(
                one, "USUBJID", unknown, "a subject that is not in DM", "Hold the records, or map it"
            )


def _iso_dates(contents: Contents) -> Iterator[Fault]:
    for one in contents.datasets:
        for variable in one.layout.variables:
            if variable.is_text and variable.name.endswith("DTC"):
                column = one.columns(variable.name)[variable.name]
                distinct = column.unique()
                wrong = [value for value in distinct.to_pylist() if value is not None and not dates.is_iso(value)]
                found = pc.is_in(column, value_set=pa.array(wrong, column.type))
                yield from record_faults(one, variable.name, found, "no ISO 8601 date", "Correct it in the mapping")


CHECKS: Mapping[str, Callable[[Contents], Iterable[Fault]]] = {
    "trial_start": trial.start,
    "trial_values": trial.values_fit,
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
    "related_exists": related_exists,
}


def as_json(result: Result) -> dict[str, Any]:
    """One line of the checklist as the manifest holds it."""
    return {**result.__dict__, "faults": [str(fault) for fault in result.faults]}
