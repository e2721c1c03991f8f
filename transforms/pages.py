"""Tables, listings and figures of a snapshot as files: HTML, RTF, and for figures SVG and PNG."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import UsageError
from transforms.gate import assess as gate
from transforms.pipeline import Home
from transforms.reporting.layout import Facts, Page, pages_of
from transforms.results.records import OUTPUTS, TABLE
from transforms.safety_package import delivery_label
from transforms.study import Study

INDEX = "index.html"


@dataclass(frozen=True)
class Written:
    """Where pages were written, the outputs among them, and those that could not be drawn, with the reason."""

    snapshot_id: str
    path: Path
    outputs: tuple[str, ...]
    not_drawn: tuple[tuple[str, str], ...]


def write_pages(
    where: Home,
    study: Study,
    *,
    snapshot_id: str | None = None,
    folder: Path | None = None,
    only: Sequence[str] = (),
) -> Written:
    """Write the outputs of a snapshot, the current one where none is named, all of them or `only` some.

    They go to CAIRN_HOME/exports/<study>/tables/<snapshot>, or to `folder`; files of the same name are replaced. The
    pages are made of the snapshot's results alone: the same snapshot gives the same bytes. Raises UsageError where
    the snapshot has no results or an output is unknown.
    """
    based_on, outputs, results = read_results(where, snapshot_id, only)
    facts = facts_of(where, study, based_on)
    target = folder or where.folder / "exports" / study.name / "tables" / based_on
    if target.is_file():
        raise UsageError(f"{target} is a file. Name a folder with --output")
    target.mkdir(parents=True, exist_ok=True)
    pages = tuple(pages_of(outputs, results, only, read_gate(where, based_on)))
    not_drawn: list[tuple[str, str]] = []
    with TemporaryDirectory(dir=target, prefix=".writing-") as partial:
        made = Path(partial)
        for page in pages:
            _write(page, facts, made, not_drawn)
        if not only:
            _index(pages, facts, made, {name for name, _ in not_drawn})
        for file in sorted(made.iterdir()):
            shutil.move(file, target / file.name)
    return Written(based_on, target, tuple(page.output_id for page in pages), tuple(not_drawn))


def read_results(where: Home, snapshot_id: str | None, only: Sequence[str]) -> tuple[str, pa.Table, pa.Table]:
    """The id of a snapshot, the current one where none is named, its outputs and its results.

    Raises UsageError where it has none, or does not have one of `only`.
    """
    based_on = snapshot_id or where.snapshots.current_id()
    if based_on is None or not where.snapshots.exists(based_on):
        raise UsageError(f"{where.study} has no snapshot {based_on or ''}. See ./cairn snapshots {where.study}")
    source = where.snapshots.path(based_on) / "results"
    if not (source / f"{TABLE}.parquet").is_file():
        raise UsageError(
            f"snapshot {based_on} has no analysis results. Write results/*.yml and run {where.study} again"
        )
    outputs, results = (pq.read_table(source / f"{name}.parquet") for name in (OUTPUTS, TABLE))
    unknown = sorted({*only} - {*outputs["output_id"].to_pylist()})
    if unknown:
        known = ", ".join(outputs["output_id"].to_pylist())
        raise UsageError(f"no output {', '.join(unknown)} in snapshot {based_on}. It has: {known}")
    return based_on, outputs, results


def read_gate(where: Home, snapshot_id: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of the gate's tables of a snapshot by name; empty where its study has no gate."""
    source = where.snapshots.path(snapshot_id) / "results"
    there = [name for name in gate.KEYS if (source / f"{name}.parquet").is_file()]
    return {name: pq.read_table(source / f"{name}.parquet").to_pylist() for name in there}


def facts_of(where: Home, study: Study, snapshot_id: str) -> Facts:
    """What every page of a snapshot says of where it is from."""
    manifest = where.snapshots.manifest(snapshot_id)
    label = delivery_label(where, manifest)
    return Facts(study.name, study.file.title, snapshot_id, manifest["cut_off"], label)


def _write(page: Page, facts: Facts, folder: Path, not_drawn: list[tuple[str, str]]) -> None:
    from transforms.reporting.tables import html_page, rtf_page

    svg, picture = "", None
    if page.kind == "figure":
        from transforms.reporting.figures import drawn
        from transforms.reporting.fonts import FontMissingError

        try:
            figure = drawn(page, facts)
        except FontMissingError as error:
            not_drawn.append((page.output_id, str(error)))
            return
        svg, picture = figure.svg, folder / f"{page.name}.png"
        picture.write_bytes(figure.png)
        (folder / f"{page.name}.svg").write_text(svg, encoding="utf-8")
    (folder / f"{page.name}.html").write_text(html_page(page, facts, svg), encoding="utf-8")
    (folder / f"{page.name}.rtf").write_text(rtf_page(page, facts, picture), encoding="utf-8")


def _index(pages: Sequence[Page], facts: Facts, folder: Path, missing: set[str]) -> None:
    from transforms.reporting.tables import index_page

    there = [page for page in pages if page.output_id not in missing]
    (folder / INDEX).write_text(index_page(there, facts), encoding="utf-8")
