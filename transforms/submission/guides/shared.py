"""Parts that both reviewer's guides have: conformance, findings and decisions, departures, assumptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from transforms.study.guide import Assumption, Departure
from transforms.submission.guides.facts import GuideFacts
from transforms.submission.guides.pages import Block, Grid, Heading, Text


def paragraphs(texts: Iterable[str]) -> Iterator[Text]:
    """Each text as a paragraph."""
    return (Text(one) for one in texts)


def introduction(facts: GuideFacts, kind: str, own: Sequence[str]) -> Iterator[Block]:
    """Purpose, study, snapshot, standards and dictionaries."""
    file = facts.study.file
    yield Heading("1 Introduction", new_page=True)
    yield Heading("1.1 Purpose", 1)
    yield Text(
        f"This guide orients a reviewer in the {kind} datasets of {file.studyid} as they are in this package. Counts, "
        "keys, findings and rules are those of the snapshot named below; texts of people are those of the study's "
        "guide.yml."
    )
    yield from paragraphs(own)
    yield Heading("1.2 Study, snapshot and standards", 1)
    standards = {
        "SDTMIG": file.standards.sdtmig,
        "SDTM": file.standards.sdtm,
        "ADaMIG": file.standards.adamig or "",
        "Controlled terminology": f"CDISC CT {file.standards.ct}",
    }
    yield Grid(
        ("Item", "Value"),
        [
            ("Study", file.studyid),
            ("Title", file.title),
            ("Snapshot", facts.snapshot_id),
            ("Data cut-off", facts.cut_off.date().isoformat()),
            ("Placement of instruments", facts.study.placement),
            ("Prepared for", facts.agency.name.upper()),
            ("Encoding of the transport files", facts.agency.encoding),
            *((name, version) for name, version in standards.items() if version),
            *((("Data", facts.label),) if facts.label else ()),
        ],
        (30, 90),
    )


def conformance(facts: GuideFacts, number: str, own: Sequence[str], is_ours: Callable[[str], bool]) -> Iterator[Block]:
    """Engines, failures with their explanations, findings by rule, and what people decided on them.

    `is_ours` says of the name of a dataset, a source or nothing whether the guide is about it.
    """
    yield Heading(f"{number} Data conformance summary", new_page=True)
    yield from paragraphs(own)
    yield Heading(f"{number}.1 Conformance engines", 1)
    engines = facts.conformance.get("engines", [])
    if engines:
        yield Grid(
            ("Engine", "Version", "Passed", "Failed", "Explained", "Not applicable", "Not run", "Note"),
            [
                (
                    one["engine"],
                    one["version"],
                    *(
                        None if one["note"] else one[count]
                        for count in ("passed", "failed", "explained", "not_applicable", "not_run")
                    ),
                    one["note"],
                )
                for one in engines
            ],
            (14, 18, 10, 10, 14, 15, 10, 40),
        )
    else:
        yield Text("The snapshot holds no table of conformance.")
    yield Heading(f"{number}.2 Conformance issues and their explanation", 1)
    failures = [row for row in facts.conformance.get("failures", []) if is_ours(row["domain"] or "")]
    if failures:
        yield Grid(
            ("Rule", "Engine", "Place", "Severity", "Records", "Issue", "Explanation"),
            [
                (
                    row["rule"],
                    row["engine"],
                    ".".join(filter(None, [row["domain"], row["variable"]])),
                    row["severity"],
                    int(row["records"] or 0),
                    row["message"] if row["outcome"] == "fail" else f"could not be evaluated: {row['message']}",
                    f"{row['why']} ({row['by']})" if row["why"] else "not explained",
                )
                for row in failures
            ],
            (18, 17, 17, 14, 13, 30, 42),
        )
    else:
        yield Text("No rule failed.")
    yield from _findings(facts, number, is_ours)


def _findings(facts: GuideFacts, number: str, is_ours: Callable[[str], bool]) -> Iterator[Block]:
    own = [one for one in facts.findings if is_ours(one["dataset"])]
    yield Heading(f"{number}.3 Findings of the run", 1)
    yield Text(
        "A critical finding is cured, or answered or waived by name, before a snapshot is locked. Places are forms, "
        "extracts and datasets; a finding holds no value of a subject."
    )
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for one in own:
        groups.setdefault((str(one["severity"]), one["rule"], one["dataset"], one["status"]), []).append(one)
    if not groups:
        yield Text("There are none.")
    else:
        yield _by_rule(groups)
    yield Heading(f"{number}.4 Findings answered or waived by name", 1)
    decided = sorted((one for one in own if one["decided_by"]), key=lambda one: (one["rule"], one["finding_id"]))
    if not decided:
        yield Text("There are none.")
        return
    yield Grid(
        ("Finding", "Rule", "Place", "Status", "By", "On", "Why"),
        [
            (
                one["finding_id"],
                one["rule"],
                ".".join(filter(None, [one["dataset"], one["variable"]])),
                one["status"],
                one["decided_by"],
                one["decided_on"],
                one["decision"],
            )
            for one in decided
        ],
        (26, 26, 20, 14, 20, 16, 36),
    )


def _by_rule(groups: Mapping[tuple[str, ...], Sequence[Mapping[str, Any]]]) -> Grid:
    return Grid(
        ("Severity", "Rule", "Place", "Status", "Findings", "Rows", "Says"),
        [
            (
                severity,
                rule,
                f"{dataset} {', '.join(sorted({one['variable'] for one in rows if one['variable']}))}".strip(),
                status,
                len(rows),
                sum(one["n_records"] for one in rows),
                rows[0]["message"],
            )
            for (severity, rule, dataset, status), rows in sorted(groups.items())
        ],
        (17, 31, 28, 13, 13, 12, 37),
    )


def departures(number: str, title: str, rows: Sequence[Departure]) -> Iterator[Block]:
    """Departures from a standard, a definition or published data."""
    yield Heading(f"{number} {title}", 1)
    if rows:
        yield Grid(("Place", "What is done", "Why"), [(one.what, one.does, one.why) for one in rows], (30, 55, 50))
    else:
        yield Text("None is recorded.")


def assumptions(number: str, rows: Sequence[Assumption]) -> Iterator[Block]:
    """What is taken for true and is not in the protocol's public record."""
    yield Heading(f"{number} Assumptions", 1)
    if rows:
        yield Text("Taken for true, since the public record of the trial does not say it.")
        yield Grid(
            ("Assumption", "Where it stands in the specification"), [(one.says, one.where) for one in rows], (85, 45)
        )
    else:
        yield Text("None is recorded.")


def described(facts: GuideFacts, number: str, kind: str, texts: Mapping[str, Sequence[str]]) -> Iterator[Block]:
    """Each dataset: label, class, structure, keys, counts, what its records are made of, and its own texts."""
    for place, one in enumerate(facts.datasets(kind), start=1):
        yield Heading(f"{number}.{place} {one.name} - {one.label}", 2)
        made = facts.sources(one.name) if kind == "sdtm" else _read(facts, one.name)
        yield Grid(
            ("Class", "Structure", "Keys", "Records", "Variables", "Made of", "Rules"),
            [
                (
                    one.observation_class,
                    one.structure,
                    ", ".join(one.keys),
                    one.records,
                    one.variables,
                    ", ".join(made) or "rules of the dataset",
                    facts.study.files.get(one.name, ""),
                )
            ],
            (24, 30, 32, 13, 15, 19, 23),
        )
        comment = _comment(facts, one.name)
        yield from paragraphs([*([comment] if comment else []), *texts.get(one.name, ())])


def _comment(facts: GuideFacts, name: str) -> str | None:
    file = facts.study.datasets.get(name) or facts.study.analyses.get(name)
    return file.comment if file is not None else None


def _read(facts: GuideFacts, name: str) -> list[str]:
    return list(facts.study.analyses[name].sources)
