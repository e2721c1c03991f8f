"""What is read of a snapshot: tables, trace, diff, and the package that is exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from transforms.commands.frame import (
    AsJson,
    StudyName,
    app,
    current_snapshot,
    out_console,
    print_json,
    progress,
)
from transforms.errors import UsageError
from transforms.home import default_home

SHOWN_DIFFERENCES = 20


@app.command()
def tables(
    study: StudyName,
    outputs: Annotated[
        list[str] | None, typer.Argument(metavar="[OUTPUT]...", help="For example T14.3.1; else all.")
    ] = None,
    snapshot: Annotated[str | None, typer.Option(help="Of this snapshot; else the current.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write tables, listings and figures as HTML, RTF, SVG and PNG."""
    from transforms import pages
    from transforms.study import Study

    loaded = Study.load(study)
    home, _ = current_snapshot(study)
    progress("Writing tables, listings and figures")
    written = pages.write_pages(home, loaded, snapshot_id=snapshot, folder=output, only=outputs or ())
    if as_json:
        print_json(written.__dict__ | {"path": str(written.path)})
    else:
        out_console().print(
            f"{len(written.outputs) - len(written.not_drawn)} outputs of snapshot {written.snapshot_id}: "
            f"{written.path if outputs else written.path / pages.INDEX}",
            markup=False,
        )
    if written.not_drawn:
        lines = "\n".join(f"  - {name}: {why}" for name, why in written.not_drawn)
        raise UsageError(f"{len(written.not_drawn)} figures were not drawn:\n{lines}")


@app.command()
def trace(
    study: StudyName,
    dataset: Annotated[str | None, typer.Argument(help="For example LB; not with --cell.")] = None,
    keys: Annotated[list[str] | None, typer.Argument(help="VARIABLE=VALUE, enough of them to name one record.")] = None,
    cell: Annotated[
        str | None, typer.Option(help="An output, e.g. T14.3.1: keys then name one of its results.")
    ] = None,
    variable: Annotated[str | None, typer.Option(help="One variable; all of them otherwise.")] = None,
    records: Annotated[int, typer.Option(min=0, help="With --cell: how many records are led further back.")] = 3,
    pages: Annotated[
        Path | None, typer.Option(help="Write pages into this folder that lead from every cell to its raw lines.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", help="With --pages: of this output, e.g. T14.3.3; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lead a value back to its raw file and line, or to the specification row that says it.

    With --cell, lead a result of a table to the records it was computed from, and these further:
    trace STUDY --cell T14.3.1 ANALYSIS=related GROUP=TOTAL STATISTIC=n
    """
    from transforms.trace import Tracer

    if pages is not None:
        if dataset is not None or cell is not None:
            raise UsageError("--pages writes whole outputs; leave dataset, keys and --cell out, and name --output")
        _trace_pages(study, pages, output or (), as_json)
        return
    _, snapshot = current_snapshot(study)
    if cell is not None:
        _trace_cell(snapshot, cell, _keys([dataset] if dataset else [], keys), variable, records, as_json)
        return
    if dataset is None or not keys:
        raise UsageError("name a dataset and keys, as in LB USUBJID=... LBSEQ=..., or an output with --cell")
    wanted = _keys(keys)
    tracer = Tracer(snapshot)
    name = dataset.upper()
    found = tracer.find(name, wanted)
    if len(found) != 1:
        hint = "Add a key" if found else "Correct a key"
        raise UsageError(f"{len(found)} records of {name} have {', '.join(keys)}. {hint}")
    table = tracer.dataset(name)
    if variable is not None and variable.upper() not in table.column_names:
        raise UsageError(f"{name} has no variable {variable}. It has: {', '.join(table.column_names)}")
    variables = (
        [variable.upper()] if variable else [one for one in table.column_names if table[one][found[0] - 1].is_valid]
    )
    steps = [tracer.trace(name, found[0], one) for one in variables]
    if as_json:
        print_json([_step_json(step, set()) for step in steps])
        return
    out = out_console()
    for step in steps:
        _show_step(out, step, set())


def _trace_pages(study: str, folder: Path, outputs: Sequence[str], as_json: bool) -> None:
    """Write the pages of the way back."""
    from transforms.study import Study
    from transforms.way_pages import write_way

    home, _ = current_snapshot(study)
    progress("Leading every cell back to its raw lines")
    written = write_way(home, Study.load(study), folder, outputs)
    if as_json:
        print_json(written.__dict__ | {"path": str(written.path)})
        return
    out_console().print(
        f"{len(written.outputs)} outputs of snapshot {written.snapshot_id}, {written.records:,} records, "
        f"{written.pages:,} pages, {written.bytes / 1e6:,.1f} MB: {written.path / 'index.html'}\n"
        "They hold data of subjects: keep them where the snapshot may be kept",
        markup=False,
    )


def _keys(*several: list[str] | None) -> dict[str, str]:
    """Keys written VARIABLE=VALUE."""
    wanted = {}
    for key in (one for written in several for one in written or []):
        name, equals, value = key.partition("=")
        if not equals:
            raise UsageError(f"{key!r} is not written VARIABLE=VALUE")
        wanted[name.upper()] = value
    return wanted


def _trace_cell(
    snapshot: Path, output: str, keys: dict[str, str], variable: str | None, limit: int, as_json: bool
) -> None:
    """Show the results of an output that the keys name, their records, and where these are from."""
    from transforms.trace import Tracer, cell_origins

    origins = cell_origins(snapshot, output, keys)
    several = len({(one.row["analysis_id"], one.row["group_id"], one.row["row_order"]) for one in origins}) > 1
    tracer = Tracer(snapshot)
    shown = []
    for number, one in enumerate(origins):
        # Statistics of one cell are of the same records, which are led further back once.
        further = () if several or number else one.records[:limit]
        variables = [variable.upper()] if variable else list(one.variables)
        steps = [tracer.trace(one.dataset, record, name) for record in further for name in variables]
        shown.append((one, steps))
    if as_json:
        print_json(
            [
                {**one.row, "records": list(one.records), "steps": [_step_json(step, set()) for step in steps]}
                for one, steps in shown
            ]
        )
        return
    out = out_console()
    told: set[Any] = set()
    for one, steps in shown:
        row = one.row
        levels = [row[f"level_{place}_label"] or row[f"level_{place}"] for place in range(1, 5)]
        place = ", ".join(part for part in (row["analysis_label"], *levels, row["group_label"]) if part)
        out.print(f"{row['output_id']} {place}: {row['statistic']} = {row['text']}", markup=False, style="bold")
        out.print(
            f"  {row['method']} in {row['population']}; {row['n_records']} records of {one.dataset}", markup=False
        )
        out.print(f"  where {row['source_where']}", markup=False)
        for step in steps:
            _show_step(out, step, told, 1)
        left = len(one.records) - limit
        if steps and left > 0:
            out.print(f"  and {left} more records: --records {len(one.records)} shows all", markup=False)
    if several:
        out.print("Several results have these keys. Add keys to lead one of them further back", markup=False)


def _step_json(step: Any, told: set[Any]) -> dict[str, Any]:
    """A step; one that was told before is `repeated`, without its inputs."""
    place = (step.dataset, step.record, step.variable)
    repeated = place in told
    told.add(place)
    return {
        "dataset": step.dataset,
        "record": step.record,
        "variable": step.variable,
        "value": step.value,
        "rule": step.rule,
        "specification": step.specification,
        "leaves": [leaf.__dict__ for leaf in step.leaves],
        "repeated": repeated,
        "inputs": [] if repeated else [_step_json(one, told) for one in step.inputs],
    }


def _show_step(out: Console, step: Any, told: set[Any], depth: int = 0) -> None:
    place = (step.dataset, step.record, step.variable)
    indent = "    " * depth
    value = "" if step.value is None else f" = {step.value}"
    out.print(f"{indent}{step.dataset}.{step.variable}{value}  (record {step.record})", markup=False, style="bold")
    out.print(f"{indent}  {step.rule}" + (f"  [{step.specification}]" if step.specification else ""), markup=False)
    for leaf in step.leaves:
        line = f" line {leaf.line}" if leaf.line else ""
        columns = f", column {', '.join(leaf.columns)}" if leaf.columns else ""
        digest = f"  sha256 {leaf.sha256[:12]}" if leaf.sha256 else ""
        out.print(f"{indent}  {leaf.kind}: {leaf.file}{line}{columns}{digest}", markup=False)
    if place in told and step.inputs:
        out.print(f"{indent}  as above", markup=False)
        return
    told.add(place)
    for one in step.inputs:
        _show_step(out, one, told, depth + 1)


@app.command()
def diff(
    study: StudyName,
    before: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="An id, the beginning of one, current, previous.")],
    after: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="What to compare it with.")],
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject: USUBJID, or its last part.")] = None,
    source: Annotated[str | None, typer.Option(help="The rows of this source instead, by record id.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every difference to a CSV file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what differs between two snapshots, by dataset, record and variable, and what caused it."""
    from transforms import differences, pipeline
    from transforms.reporting import listing

    home, _ = current_snapshot(study)
    if source is not None and (dataset is not None or subject is not None):
        raise UsageError("--source shows rows of a source; leave --dataset and --subject out")
    told = pipeline.difference(home, before, after)
    if source is not None:
        compared = differences.source_comparison(told.before, told.after, source)
        parts = [(compared.summary(), list(differences.source_rows(told.before, told.after, compared)))]
    else:
        parts = [(one.summary(), list(told.rows(one, within))) for one, within in told.select(dataset, subject)]
    if csv is not None:
        csv.write_text(
            listing.to_csv((row for _, rows in parts for row in rows), differences.ROW_COLUMNS), encoding="utf-8-sig"
        )
    if as_json:
        print_json(
            {
                "study": home.study,
                "before": told.before.manifest["snapshot_id"],
                "after": told.after.manifest["snapshot_id"],
                "inputs": told.inputs,
                "datasets": [summary | {"causes": differences.cause_counts(rows)} for summary, rows in parts],
                "changes": [row for _, rows in parts for row in rows],
            }
        )
        return
    _show_difference(told, parts)
    if csv is not None:
        out_console().print(f"{sum(len(rows) for _, rows in parts)} difference(s) written to {csv}")


def _show_difference(told: Any, parts: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    from transforms import differences

    out = out_console()
    one, two = (side.manifest for side in (told.before, told.after))
    out.print(f"{one['snapshot_id']} (cut-off {one['cut_off']}) to {two['snapshot_id']} (cut-off {two['cut_off']})")
    for cause, what in told.inputs.items():
        more = f" and {len(what) - 8} more" if len(what) > 8 else ""
        out.print(f"  {cause}: {'; '.join(what[:8])}{more}", markup=False)
    quiet = []
    for summary, rows in parts:
        counts = {name: summary[name] for name in ("added", "removed", "changed", "renumbered") if summary[name]}
        if not rows and not counts:
            quiet.append(summary["dataset"])
            continue
        line = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        out.print(f"\n[bold]{summary['dataset']}[/bold]  {line or 'as asked'}")
        for kind, causes in differences.cause_counts(rows).items():
            said = ", ".join(f"{count:,} by {cause}" for cause, count in causes.items() if cause)
            if said:
                out.print(f"  {kind}: {said}", markup=False)
        for row in rows[:SHOWN_DIFFERENCES]:
            out.print(f"    {_difference_line(row)}", markup=False)
        if len(rows) > SHOWN_DIFFERENCES:
            out.print(f"    and {len(rows) - SHOWN_DIFFERENCES:,} more; --csv FILE or --json shows them all")
    if quiet:
        out.print(f"\nNo difference: {', '.join(quiet)}")


def _difference_line(row: dict[str, Any]) -> str:
    key = " ".join(f"{name}={value}" for name, value in (row["key"] or {}).items() if value is not None)
    value = f" {row['variable']}" if row["variable"] else ""
    if row["change"] == "changed":
        value += f": {row['before']} to {row['after']}"
    places = [
        f"{row[f'file_{side}']}:{row[f'line_{side}']}" if row[f"file_{side}"] else "-" for side in ("before", "after")
    ]
    where = "" if places == ["-", "-"] else f"  [{places[0]} to {places[1]}]"
    cause = f"  {row['cause']}" if row["cause"] else ""
    return f"{row['change']} {key or row['subject'] or ''}{value}{cause}{where}"


@app.command()
def export(
    study: StudyName,
    agency: Annotated[str, typer.Option(help="fda or nmpa.")] = "fda",
    snapshot: Annotated[str | None, typer.Option(help="A locked snapshot; else the current.")] = None,
    to: Annotated[Path | None, typer.Option(help="Into this folder, with a .zip beside it.")] = None,
    dataset_json: Annotated[str | None, typer.Option(help="Dataset-JSON besides: json or ndjson.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Also of what may not be submitted yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the submission package of a locked snapshot: datasets, documents, checklist, checksums, one zip."""
    from transforms import export as submission
    from transforms import pipeline
    from transforms.study.load import find_folder
    from transforms.submission.checklist import as_json as line_of

    if dataset_json not in {None, "json", "ndjson"}:
        raise UsageError(f"no form {dataset_json!r} of Dataset-JSON. Write json or ndjson")
    folder = find_folder(study)
    home = pipeline.Home(default_home(), folder.name)
    progress("Looking through the datasets, writing them and reading them back")
    written = submission.export(
        home,
        folder,
        agency=agency,
        snapshot_id=snapshot,
        folder=to.resolve() if to is not None else None,
        dataset_json=dataset_json,  # type: ignore[arg-type]
        preview=preview,
    )
    if as_json:
        paths = {"folder": str(written.folder), "archive": str(written.archive)}
        print_json(written.__dict__ | paths | {"checklist": [line_of(one) for one in written.checklist]})
        return
    out = out_console()
    mark = "PREVIEW of a submission package" if written.preview else "submission package"
    out.print(f"[bold]{mark}[/bold] for {agency}: {len(written.datasets)} datasets")
    for one in written.checklist:
        out.print(f"  {one.outcome:8s} {one.id}: {one.says}{f' ({one.reason})' if one.reason else ''}", markup=False)
        for fault in one.faults:
            out.print(f"           {fault}", markup=False)
    out.print(f"  {written.folder}", markup=False)
    out.print(f"  {written.archive}  sha256 {written.sha256}", markup=False)
