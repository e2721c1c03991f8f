"""What the reviewer's guides say of a snapshot, gathered from its folder and the specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from transforms.study import Study
from transforms.submission.agencies import Agency, SubmissionFile
from transforms.submission.contents import Contents
from transforms.submission.layout import SUPPLEMENTAL

GIVES_RECORD = frozenset({"accepted", "record"})
GIVES_NONE = frozenset({"none", "excluded"})
EXCLUDED = ("stage", "source", "dataset", "outcome", "rule")
SOURCE = ("SRCDOM", "SRCSEQ")


@dataclass(frozen=True)
class Described:
    """A dataset of the package: class, structure, keys as submitted, records, and whether it has qualifiers."""

    name: str
    label: str
    observation_class: str
    structure: str
    keys: tuple[str, ...]
    records: int
    variables: int
    qualifiers: bool


@dataclass(frozen=True)
class Excluded:
    """Rows that gave no record, by the rule that says so."""

    stage: str
    source: str
    dataset: str
    outcome: str
    rule: str
    rows: int


@dataclass(frozen=True)
class Baseline:
    """How many records of an SDTM dataset its own flag, and that of an analysis dataset, mark as baseline."""

    analysis: str
    dataset: str
    both: int
    only_analysis: int
    only_sdtm: int


@dataclass(frozen=True)
class GuideFacts:
    """What both guides are written from.

    `findings` are those of the snapshot with status, decided_by, decided_on and decision; `conformance` is what
    `transforms.reporting.conformance.with_reasons` returns, `programs` the size of each file of the folder of programs
    by path, and `font` the file of a font with Chinese characters.
    """

    study: Study
    snapshot_id: str
    cut_off: datetime
    label: str
    snapshot: Path
    agency: Agency
    own: SubmissionFile
    contents: Contents
    findings: Sequence[Mapping[str, Any]]
    conformance: Mapping[str, Any]
    programs: Mapping[str, int]
    font: str | None

    def datasets(self, kind: str) -> list[Described]:
        """The datasets of the package made for SDTM or for ADaM, qualifiers with their parents."""
        prefix = "tabulations" if kind == "sdtm" else "analysis"
        present = {one.layout.name: one for one in self.contents.datasets if one.file.startswith(prefix)}
        found = []
        for name, one in present.items():
            if name.startswith(SUPPLEMENTAL):
                continue
            observation_class, structure = self._structure(name)
            found.append(
                Described(
                    name,
                    one.layout.label,
                    observation_class,
                    structure,
                    one.layout.keys,
                    one.records,
                    len(one.layout.variables),
                    f"{SUPPLEMENTAL}{name}" in present,
                )
            )
        return found

    def _structure(self, name: str) -> tuple[str, str]:
        if name in self.study.standards.datasets:
            standard = self.study.standards.datasets[name]
            return standard.observation_class, standard.structure
        analysis = self.study.analyses[name]
        known = self.study.standards.analysis.get(analysis.observation_class)
        general = (known.name, known.structure) if known is not None else (analysis.observation_class, "")
        return general[0], analysis.structure or general[1]

    def sources(self, name: str) -> list[str]:
        """What the records of an SDTM dataset are made of."""
        file = self.study.datasets.get(name)
        if file is None:
            return []
        read = [
            one for group in file.records for one in (group.source, *group.join, group.table and f"table {group.table}")
        ]
        return list(dict.fromkeys(one for one in read if one))

    def frame(self, kind: str, name: str, *columns: str) -> pd.DataFrame:
        """Some columns of a dataset, those that it has; none where there is no such dataset."""
        path = self.snapshot / kind / f"{name.lower()}.parquet"
        if not path.is_file():
            return pd.DataFrame()
        known = set(pq.read_schema(path).names)
        frame: pd.DataFrame = pq.read_table(path, columns=[one for one in columns if one in known]).to_pandas()
        return frame

    def excluded(self) -> list[Excluded]:
        """Rows of the extracts that gave no record, in the order of stage, source and rule."""
        counts: dict[tuple[str, str, str, str, str], int] = {}
        for row in pq.read_table(self.snapshot / "accounts.parquet").to_pylist():
            if row["outcome"] in GIVES_NONE or (row["stage"] == "staging" and row["outcome"] not in GIVES_RECORD):
                stage, source, dataset, outcome, rule = (row[one] or "" for one in EXCLUDED)
                place = (stage, source, dataset, outcome, rule)
                counts[place] = counts.get(place, 0) + row["rows"]
        order = {"staging": 0, "mapping": 1, "derivation": 2}
        return [
            Excluded(*place, rows)
            for place, rows in sorted(counts.items(), key=lambda one: (order.get(one[0][0], 9), one[0]))
        ]

    def derived(self) -> list[tuple[str, str, str, int]]:
        """Records that analysis datasets have beyond those of their sources: dataset, kind, rule, number."""
        counts: dict[tuple[str, str, str], int] = {}
        for row in pq.read_table(self.snapshot / "accounts.parquet").to_pylist():
            if row["stage"] == "derivation" and row["outcome"] not in GIVES_RECORD | GIVES_NONE:
                place = (row["dataset"], row["outcome"], row["rule"])
                counts[place] = counts.get(place, 0) + row["rows"]
        return [(*place, rows) for place, rows in sorted(counts.items())]

    def rule_says(self, rule: str) -> str:
        """Why a named rule leaves rows out, as the study writes it; empty for a rule of the engine."""
        exclusions = [one for source in self.study.sources.values() for one in source.exclude]
        for analysis in self.study.analyses.values():
            exclusions += [*analysis.exclude, *(one for group in analysis.records for one in group.exclude)]
        for exclusion in exclusions:
            if exclusion.rule == rule:
                return exclusion.why
        for file in self.study.datasets.values():
            for group in file.records:
                beside = group.fallback
                for named in (
                    group.only and group.only.otherwise,
                    group.for_each and group.for_each.none,
                    beside and beside.otherwise,
                    beside and beside.wait,
                ):
                    if named and named.rule == rule:
                        return named.why
        return ""

    def baselines(self) -> Iterator[Baseline]:
        """--LOBXFL against ABLFL, for each analysis dataset and each dataset that its records come from.

        Records are told apart by USUBJID and --SEQ. Counted are records that the analysis dataset holds.
        """
        for name in self.study.analyses:
            own = self.frame("adam", name, "USUBJID", "ABLFL", *SOURCE)
            if "ABLFL" not in own or not set(SOURCE) <= set(own.columns):
                continue
            for dataset in sorted(own["SRCDOM"].dropna().unique()):
                flag, sequence = f"{dataset}LOBXFL", f"{dataset}SEQ"
                theirs = self.frame("sdtm", str(dataset), "USUBJID", sequence, flag)
                if flag not in theirs:
                    continue
                held = own[own["SRCDOM"] == dataset]
                here = set(_pairs(held, "SRCSEQ"))
                analysis = set(_pairs(held[held["ABLFL"] == "Y"], "SRCSEQ"))
                sdtm = set(_pairs(theirs[theirs[flag] == "Y"], sequence)) & here
                yield Baseline(name, str(dataset), len(analysis & sdtm), len(analysis - sdtm), len(sdtm - analysis))


def _pairs(frame: pd.DataFrame, sequence: str) -> Iterator[tuple[str, float]]:
    known = frame[["USUBJID", sequence]].dropna()
    return zip(known["USUBJID"].astype(str), known[sequence].astype(float), strict=True)
