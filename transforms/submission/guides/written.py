"""csdrg.pdf and adrg.pdf: the reviewer's guides, from specification, snapshot, decisions and the study's guide.yml.

Their parts follow the templates of the PHUSE/CDISC guides: introduction, protocol, considerations, datasets,
conformance, and for analysis datasets the programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transforms.submission.contents import DATASETS, TABULATIONS
from transforms.submission.guides import shared
from transforms.submission.guides.acrf import acrf
from transforms.submission.guides.acrf_fields import forms
from transforms.submission.guides.facts import Excluded, GuideFacts
from transforms.submission.guides.pages import Block, Described, Grid, Heading, Text, drawn

CSDRG, ADRG, ACRF = f"{TABULATIONS}/csdrg.pdf", f"{DATASETS}/adrg.pdf", f"{TABULATIONS}/acrf.pdf"


DERIVATION = "derivation"


@dataclass(frozen=True)
class Guides:
    """The guides and the annotated CRF by path below the study's folder, and the pages of the CRF by variable."""

    files: dict[str, bytes]
    pages: Mapping[str, tuple[int, ...]]


def guides(facts: GuideFacts) -> Guides:
    """The guides and the annotated CRF of what the package holds."""
    found: dict[str, bytes] = {}
    pages: Mapping[str, tuple[int, ...]] = {}
    file = facts.study.file
    if facts.datasets("sdtm"):
        found[CSDRG] = _written(facts, "Clinical Study Data Reviewer's Guide", list(csdrg(facts)))
        annotated = acrf(
            forms(facts.study, facts.snapshot),
            studyid=file.studyid,
            title=file.title,
            snapshot_id=facts.snapshot_id,
            cut_off=facts.cut_off,
            label=facts.label,
            font=facts.font,
        )
        found[ACRF], pages = annotated.content, annotated.pages
    if facts.datasets("adam"):
        found[ADRG] = _written(facts, "Analysis Data Reviewer's Guide", list(adrg(facts)))
    return Guides(found, pages)


def _written(facts: GuideFacts, name: str, blocks: list[Block]) -> bytes:
    studyid = facts.study.file.studyid
    line = " - ".join(filter(None, [f"{studyid} {name}", f"snapshot {facts.snapshot_id}", facts.label]))
    front: list[Block] = [Heading(f"{name}"), Text(studyid), Text(facts.study.file.title)]
    if facts.label:
        front.append(Text(facts.label))
    contents = [(one.text,) for one in blocks if isinstance(one, Heading) and one.level < 2]
    described = Described(f"{name}, {studyid}", facts.study.file.title, line, facts.cut_off)
    return drawn(described, [*front, Grid(("Contents",), contents, (1,)), *blocks], facts.font).content


def csdrg(facts: GuideFacts) -> Iterator[Block]:
    """What the guide to the SDTM datasets holds, in order."""
    own = facts.study.guide.csdrg
    yield from shared.introduction(facts, "SDTM", own.introduction)
    yield Heading("2 Protocol description", new_page=True)
    yield Heading("2.1 Protocol and design", 1)
    yield from shared.paragraphs(own.protocol)
    yield from _trial_design(facts)
    yield Heading("3 Subject data description", new_page=True)
    yield Heading("3.1 Overview", 1)
    yield from shared.paragraphs(own.considerations)
    yield from _overview(facts, "sdtm")
    yield from _subjects(facts)
    yield from _partial_dates(facts)
    yield Heading("3.2 Domains", 1)
    yield from shared.described(facts, "3.2", "sdtm", own.datasets)
    yield from shared.conformance(facts, "4", own.conformance, lambda name: name not in facts.study.analyses)
    yield Heading("5 Appendices", new_page=True)
    yield from _not_submitted(facts, own.issues)
    yield from _excluded(facts)
    yield from _extensions(facts)
    yield from shared.departures("5.4", "Departures", own.departures)
    yield from shared.assumptions("5.5", own.assumptions)


def adrg(facts: GuideFacts) -> Iterator[Block]:
    """What the guide to the analysis datasets holds, in order."""
    own = facts.study.guide.adrg
    yield from shared.introduction(facts, "ADaM", own.introduction)
    yield Heading("2 Protocol description", new_page=True)
    yield Heading("2.1 Protocol and design", 1)
    yield from shared.paragraphs(own.protocol or facts.study.guide.csdrg.protocol)
    yield Text("The planned arms, elements and visits are in section 2 of csdrg.pdf.")
    yield Heading("3 Analysis considerations related to multiple datasets")
    yield from shared.paragraphs(own.considerations)
    yield Heading("3.1 Populations", 1)
    yield from _populations(facts)
    yield Heading("3.2 Baseline of the tabulations and of the analysis", 1)
    yield from _baselines(facts)
    yield Heading("4 Analysis data creation and processing issues")
    yield Text("Every analysis dataset is made from the SDTM datasets of the same snapshot.")
    yield from shared.paragraphs(own.issues)
    yield from _left_out(facts, analysis=True)
    yield from _derived(facts)
    yield from shared.departures("4.3", "Departures", own.departures)
    yield from shared.assumptions("4.4", own.assumptions)
    yield Heading("5 Analysis dataset descriptions", new_page=True)
    yield Heading("5.1 Overview", 1)
    yield from _overview(facts, "adam")
    yield Heading("5.2 Analysis datasets", 1)
    yield from shared.described(facts, "5.2", "adam", own.datasets)
    yield from shared.conformance(facts, "6", own.conformance, lambda name: name in facts.study.analyses)
    yield Heading("7 Submission of programs", new_page=True)
    yield Text(
        "No program is written for a study. The analysis datasets are made by one engine from the specification, the "
        "tables it reads and the versions of the lock file, all of which are in the folder of programs as text files."
    )
    yield Grid(
        ("File", "Bytes"),
        sorted(facts.programs.items()),
        (100, 20),
    )


def _trial_design(facts: GuideFacts) -> Iterator[Block]:
    shown = ("TSPARMCD", "TSPARM", "TSVAL", "TSVALNF")
    ts = facts.frame("sdtm", "TS", *shown).reindex(columns=shown)
    if len(ts):
        yield Heading("2.2 Trial summary (TS)", 1)
        yield Grid(
            ("Code", "Parameter", "Value"),
            [
                (_shown(code), _shown(name), value if isinstance(value, str) else f"null flavour {_shown(flavour)}")
                for code, name, value, flavour in ts.astype(object).itertuples(index=False)
            ],
            (14, 40, 76),
        )
    for number, (name, title, columns) in enumerate(
        [
            ("TA", "Planned arms (TA)", ("ARMCD", "ARM", "TAETORD", "ETCD", "ELEMENT", "TABRANCH", "TATRANS", "EPOCH")),
            ("TE", "Elements (TE)", ("ETCD", "ELEMENT", "TESTRL", "TEENRL", "TEDUR")),
            ("TV", "Planned visits (TV)", ("VISITNUM", "VISIT", "VISITDY", "TVSTRL", "TVENRL")),
            ("TI", "Inclusion and exclusion criteria (TI)", ("IETESTCD", "IETEST", "IECAT", "TIVERS")),
        ],
        start=3,
    ):
        frame = facts.frame("sdtm", name, *columns)
        if not len(frame):
            continue
        yield Heading(f"2.{number} {title}", 1)
        head = [str(one) for one in frame.columns]
        rows = [tuple(map(_shown, row)) for row in frame.astype(object).itertuples(index=False)]
        yield Grid(head, rows, [_width(cells) for cells in zip(head, *rows, strict=True)])


def _width(cells: Sequence[str]) -> float:
    """The share of a column: no word of it is broken, and a long text does not take all the room."""
    word = max(len(word) for cell in cells for word in cell.split() or [""])
    return max(1.4 * word + 3, min(40, max(map(len, cells))))


def _shown(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _overview(facts: GuideFacts, kind: str) -> Iterator[Block]:
    yield Grid(
        ("Dataset", "Label", "Class", "Records", "Keys", "Qualifiers"),
        [
            (
                one.name,
                one.label,
                one.observation_class,
                one.records,
                ", ".join(one.keys),
                "yes" if one.qualifiers else "",
            )
            for one in facts.datasets(kind)
        ],
        (12, 34, 26, 12, 40, 15),
    )
    if kind == "sdtm":
        absent = sorted(set(facts.study.datasets) - {one.name for one in facts.datasets(kind)})
        if absent:
            yield Text(f"Without records, and therefore not in the package: {', '.join(absent)}.")


def _subjects(facts: GuideFacts) -> Iterator[Block]:
    dm = facts.frame("sdtm", "DM", "ARM", "ARMNRS")
    if not len(dm):
        return
    arms = dm["ARM"].astype(object).where(dm["ARM"].notna(), dm.get("ARMNRS"))
    counts = arms.fillna("no arm and no reason").value_counts().sort_index()
    yield Text("Subjects of DM by planned arm, or by the reason why they have none:")
    yield Grid(("Arm", "Subjects"), [*((str(arm), int(n)) for arm, n in counts.items()), ("Total", len(dm))], (60, 20))


def _partial_dates(facts: GuideFacts) -> Iterator[Block]:
    rows = [one for one in facts.findings if one["rule"] == "partial_date"]
    if rows:
        yield Text("Partial dates, which stand as precise as they were collected:")
        yield Grid(
            ("Form", "Field", "Rows"),
            [(one["dataset"], one["variable"], one["n_records"]) for one in _by_place(rows)],
            (30, 40, 15),
        )


def _by_place(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda one: (str(one["dataset"]), str(one["variable"])))


def _not_submitted(facts: GuideFacts, own: tuple[str, ...]) -> Iterator[Block]:
    yield Heading("5.1 What is collected and not submitted", 1)
    yield from shared.paragraphs(own)
    yield Text("Every field of every form stands in acrf.pdf with what it is mapped to, or the reason why it is not.")
    yield from _left_out(facts, analysis=False)
    if facts.own.keys:
        yield Text("Variables that identify records together with the keys, where these alone do not:")
        yield Grid(
            ("Dataset", "Variables", "Why"),
            [(one.dataset, ", ".join(one.variables), one.why) for one in facts.own.keys],
            (20, 40, 70),
        )


def _left_out(facts: GuideFacts, analysis: bool) -> Iterator[Block]:
    """What of the analysis datasets, or of the others, is not submitted to the agency."""
    rules = facts.own.of(facts.agency.name).leave_out
    rows = [
        (
            one.dataset,
            ", ".join(one.variables) or "all",
            "; ".join(f"{key} {' or '.join(values)}" for key, values in one.where.items()) or "all",
            one.why,
        )
        for one in rules
        if (one.dataset in facts.study.analyses) == analysis
    ]
    if rows:
        yield Text(f"Not submitted to {facts.agency.name.upper()}:")
        yield Grid(("Dataset", "Variables", "Of records with", "Why"), rows, (20, 25, 35, 60))


def _excluded(facts: GuideFacts) -> Iterator[Block]:
    yield Heading("5.2 Rows that gave no record", 1)
    yield from _without_record(
        [one for one in facts.excluded() if one.stage != DERIVATION], facts, "Every row of every extract gave a record."
    )


def _without_record(rows: Sequence[Excluded], facts: GuideFacts, none: str) -> Iterator[Block]:
    if not rows:
        yield Text(none)
        return
    yield Grid(
        ("Stage", "Extract", "Dataset", "Outcome", "Rule", "Rows", "Why"),
        [
            (one.stage, one.source, one.dataset, one.outcome, one.rule, one.rows, facts.rule_says(one.rule))
            for one in rows
        ],
        (14, 18, 12, 16, 26, 9, 45),
    )


def _extensions(facts: GuideFacts) -> Iterator[Block]:
    yield Heading("5.3 Extensions of codelists", 1)
    table = facts.study.tables.get("ct_extensions")
    if table is None or not table.rows:
        yield Text("No codelist is extended.")
        return
    known = facts.study.standards.codelists
    yield Grid(
        ("Codelist", "Name", "Term", "Why"),
        [
            (code, known[code].name if code in known else "", term, why)
            for code, term, why in zip(*(table.values(name) for name in ("CODELIST", "TERM", "WHY")), strict=True)
        ],
        (14, 34, 38, 60),
    )


def _populations(facts: GuideFacts) -> Iterator[Block]:
    layout = next((one.layout for one in facts.contents.datasets if one.layout.name == "ADSL"), None)
    if layout is None:
        yield Text("The package has no ADSL.")
        return
    flags = [one for one in layout.variables if one.name.endswith("FL")]
    frame = facts.frame("adam", "ADSL", *(one.name for one in flags))
    yield Text(f"Flags of ADSL and the subjects, of {len(frame)}, for whom each is Y:")
    yield Grid(
        ("Flag", "Label", "Subjects"),
        [(one.name, one.label, int((frame[one.name] == "Y").sum())) for one in flags],
        (20, 70, 15),
    )


def _baselines(facts: GuideFacts) -> Iterator[Block]:
    rows = list(facts.baselines())
    if not rows:
        yield Text("No analysis dataset has a baseline record whose source has --LOBXFL.")
        return
    yield Text(
        "--LOBXFL of SDTM marks the last result before the first exposure, ABLFL the record that the analysis takes. "
        "Records that the analysis datasets hold, by which of the two marks them:"
    )
    yield Grid(
        ("Analysis dataset", "Source", "Both", "ABLFL only", "--LOBXFL only"),
        [(one.analysis, one.dataset, one.both, one.only_analysis, one.only_sdtm) for one in rows],
        (30, 20, 20, 20, 20),
    )


def _derived(facts: GuideFacts) -> Iterator[Block]:
    yield Heading("4.1 Records that are not copied from SDTM", 1)
    rows = facts.derived()
    if rows:
        yield Grid(("Dataset", "Kind", "Rule or parameter", "Records"), rows, (25, 25, 60, 15))
    else:
        yield Text("There are none.")
    yield Heading("4.2 Records of SDTM that are not taken", 1)
    left_out = [one for one in facts.excluded() if one.stage == DERIVATION]
    yield from _without_record(left_out, facts, "Every record of the datasets read gave one.")
