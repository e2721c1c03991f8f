"""Mapping of a landing folder to SDTM datasets in memory, without checks and publication."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from transforms import pipeline, snapshot
from transforms.deliveries import stage_all
from transforms.findings import Finding
from transforms.ingest import ingest
from transforms.sdtm.engine import MappingLine, map_study
from transforms.study import Study


@dataclass(frozen=True)
class Sdtm:
    """The datasets of a study with plain texts, missing as None, and what was found and counted."""

    datasets: dict[str, pd.DataFrame]
    findings: tuple[Finding, ...]
    account: tuple[MappingLine, ...]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.datasets[name]

    def rules(self) -> set[str]:
        """The rules of the findings."""
        return {finding.rule for finding in self.findings}


def map_landing(study: Study, landing: Path, home: Path) -> Sdtm:
    """Take all that lies in landing, stage it and map it."""
    where = pipeline.Home(home, study.name)
    extracts = ingest(study, landing, where.raw).extracts
    received = [entry for entry in where.raw.received() if entry.accepted]
    cut_off = pipeline.resolve_cut_off(study, None, received)
    staged, found, _ = stage_all(study, where.raw, cut_off, received, extracts, {})
    sources = {name: snapshot.staged_source(snapshot.staged_table(study, one)) for name, one in staged.items()}
    mapped = map_study(study, sources, cut_off=cut_off)
    return Sdtm(
        {name: plain(dataset.frame) for name, dataset in mapped.datasets.items()},
        (*found, *mapped.findings),
        mapped.account,
    )


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """A dataset with texts as objects."""
    texts = {name: frame[name].astype(object) for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return frame.assign(**{name: values.where(values.notna(), None) for name, values in texts.items()})
