"""The content of a define, worked out from the study's specification and a finished snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transforms.core.tables import read_table
from transforms.errors import UsageError
from transforms.submission.define import values as by_value
from transforms.submission.define.analyses import Analyses
from transforms.submission.define.codelists import ADAM_TERMINOLOGY, DEFINE, SDTM_TERMINOLOGY, STANDARDS
from transforms.submission.define.model import Define, Document, Group, Kind, Label, Language, Standard
from transforms.submission.define.profile import read, submitted_lengths
from transforms.submission.define.results import Displays
from transforms.submission.define.shared import Shared
from transforms.submission.define.tabulations import GUIDE, Tabulations
from transforms.submission.labels import Labels

if TYPE_CHECKING:
    from transforms.study import Study

Agency = Literal["fda", "nmpa"]
LANGUAGES: Mapping[Agency, Language] = {"fda": "en", "nmpa": "zh"}
CRF = Document("LF.acrf", "acrf.pdf", Label("Annotated Case Report Form", "注释病例报告表"), "annotated_crf")
SDTM_REVIEWERS_GUIDE = Label("Clinical Study Data Reviewer's Guide", "临床研究数据审阅说明")
ADAM_REVIEWERS_GUIDE = Label("Analysis Data Reviewer's Guide", "分析数据审阅说明")
DOCUMENTS: Mapping[Kind, tuple[Document, ...]] = {
    "sdtm": (CRF, Document("LF.csdrg", "csdrg.pdf", SDTM_REVIEWERS_GUIDE, "guide")),
    "adam": (Document("LF.adrg", "adrg.pdf", ADAM_REVIEWERS_GUIDE, "guide"),),
}


def describe(
    study: Study,
    snapshot: Path,
    kind: Kind,
    *,
    agency: Agency = "fda",
    encoding: str = "ascii",
    lengths: Mapping[str, Mapping[str, int]] | None = None,
    documents: Iterable[Document] | None = None,
    pages: Mapping[str, tuple[int, ...]] | None = None,
    label: str = "",
) -> Define:
    """The define of the SDTM or the analysis datasets of a finished snapshot.

    `lengths` are those of the text variables of each dataset in the transport files; without them they are worked out
    as the writer of these does, in bytes of `encoding`. `documents` are those beside the define, the usual ones if not
    given; `pages` are the pages of the annotated CRF by `DATASET.VARIABLE`; `label` is what the deliveries say of
    themselves.

    Raises UsageError if the snapshot is of another study or holds no such dataset.
    """
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    if manifest["study"] != study.name:
        raise UsageError(f"{snapshot} is a snapshot of {manifest['study']}, not of {study.name}")
    known = lengths if lengths is not None else submitted_lengths(snapshot, encoding)
    shared = Shared(study, snapshot, encoding, known, Labels.load(study.folder))
    guides = {row["class"]: f"STD.{row['name']}" for row in guides_of(study)}
    describer = Tabulations(shared) if kind == "sdtm" else Analyses.of(shared, guides)
    groups = in_order(describer.group(data) for data in read(snapshot, kind).values())
    results = Displays(study, {group.name: group for group in groups}, shared.codelists.found)
    displays = results.found() if kind == "adam" else ()
    return Define(
        kind=kind,
        language=LANGUAGES[agency],
        study=study.name,
        studyid=study.file.studyid,
        title=study.file.title,
        created=f"{manifest['cut_off']}T00:00:00",
        snapshot=manifest["snapshot_id"],
        standards=_used(study, groups, shared),
        documents=DOCUMENTS[kind] if documents is None else tuple(documents),
        groups=groups,
        value_lists=tuple(shared.value_lists),
        wheres=by_value.checked((*shared.wheres, *results.wheres)),
        codelists=tuple(shared.codelists.found.values()),
        methods=tuple(shared.methods),
        comments=tuple(shared.comments),
        displays=displays,
        pages=pages or {},
        label=label,
    )


def in_order(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Datasets by class, in a class by name; supplemental qualifiers come behind the other relations."""
    classes = read_table(DEFINE / "class_order.csv", "class_order.csv").values("class")
    return tuple(
        sorted(groups, key=lambda one: (classes.index(one.observation_class), one.name.startswith("SUPP"), one.name))
    )


def _used(study: Study, groups: Iterable[Group], shared: Shared) -> tuple[Standard, ...]:
    """The guides that datasets follow and the terminologies that codelists are of."""
    used = {group.standard for group in groups} | {one.standard for one in shared.codelists.found.values()}
    file = study.file.standards
    known = [Standard(GUIDE, "SDTMIG", "IG", file.sdtmig)]
    known += [Standard(f"STD.{row['name']}", row["name"], "IG", row["version"]) for row in guides_of(study)]
    known.append(Standard(SDTM_TERMINOLOGY, "CDISC/NCI", "CT", file.ct, "SDTM"))
    for row in _published(study):
        if row["type"] == "CT":
            known.append(Standard(ADAM_TERMINOLOGY, row["name"], "CT", row["version"], row["publishing_set"]))
    return tuple(one for one in known if one.oid in used)


def guides_of(study: Study) -> list[dict[str, str]]:
    """The implementation guides of analysis datasets that the study follows, by class."""
    return [row for row in _published(study) if row["type"] == "IG"]


def _published(study: Study) -> list[dict[str, str]]:
    """What CDISC publishes for analysis datasets in the version that the study follows."""
    version = study.file.standards.adamig
    if version is None:
        return []
    table = read_table(STANDARDS / f"adamig-{version}" / "published.csv", "published.csv")
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def without_chinese(define: Define) -> list[str]:
    """The datasets and variables that have no Chinese label, as `DATASET` and `DATASET.VARIABLE`."""
    found = [group.name for group in define.groups if group.label.zh is None]
    return found + [
        f"{group.name}.{item.name}" for group in define.groups for item in group.items if item.label.zh is None
    ]
