"""The defines of a package: described from the datasets as submitted, checked, and compared with their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from transforms.submission.checklist import DATASETS, TABULATIONS, Contents
from transforms.submission.define.agreement import Delivered, agreement_problems
from transforms.submission.define.checks import problems_of
from transforms.submission.define.document import DefineFault, Document
from transforms.submission.define.files import DEFINE, contents_of
from transforms.submission.define.metadata import DOCUMENTS, Agency, describe
from transforms.submission.define.model import Kind
from transforms.submission.define.profile import read
from transforms.submission.faults import ExportRefusedError, Fault

if TYPE_CHECKING:
    from transforms.study import Study

PLACES: dict[Kind, str] = {"sdtm": TABULATIONS, "adam": DATASETS}
REMEDY = "The define does not fit the data: tell who maintains this software"


def defines(study: Study, contents: Contents, folder: Path, others: Iterable[str]) -> dict[str, bytes]:
    """define.xml, its stylesheet and its page for SDTM and for ADaM, by path below the study's folder.

    `folder` holds the datasets as submitted, laid out as a snapshot; `others` are the paths of the other documents, of
    which a define names those that are there. Raises ExportRefusedError with everything that the checks of the define,
    or its comparison with the transport files, find.
    """
    present = set(others)
    written: dict[str, bytes] = {}
    faults: list[Fault] = []
    for kind, place in PLACES.items():
        if not any(one.file.startswith(f"{place}/") for one in contents.datasets):
            continue
        define = describe(
            study,
            folder,
            kind,
            agency=cast("Agency", contents.agency.name),
            encoding=contents.agency.encoding,
            lengths={
                one.layout.name: {variable.name: variable.length for variable in one.layout.variables}
                for one in contents.datasets
            },
            documents=[one for one in DOCUMENTS[kind] if f"{place}/{one.href}" in present],
        )
        files = contents_of(define)
        written |= {f"{place}/{name}": content for name, content in files.items()}
        faults += [
            Fault(f"{place}/{DEFINE}", one.place, f"{one.rule}: {one.message}", REMEDY)
            for one in _problems(study, contents, folder, kind, files[DEFINE])
        ]
    if faults:
        raise ExportRefusedError(faults)
    return written


def _problems(study: Study, contents: Contents, folder: Path, kind: Kind, content: bytes) -> Iterator[DefineFault]:
    yield from problems_of(content, study=study)
    data = read(folder, kind)
    delivered = [
        Delivered(
            one.layout.name,
            one.layout.label,
            data[one.layout.name].table,
            {variable.name: variable.label for variable in one.layout.variables},
            {variable.name: variable.length for variable in one.layout.variables},
        )
        for one in contents.datasets
        if one.layout.name in data
    ]
    yield from agreement_problems(Document.parse(content), delivered, contents.agency.encoding)
