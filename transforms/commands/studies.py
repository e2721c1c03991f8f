"""A study's specification, and faults planted in its extracts."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from transforms.commands.frame import (
    AsJson,
    Placement,
    StudyName,
    app,
    call_synthetic,
    out_console,
    print_json,
)

spec_app = typer.Typer(no_args_is_help=True, help="A study's specification.")
app.add_typer(spec_app, name="spec")
faults_app = typer.Typer(no_args_is_help=True, help="Faults planted in extracts, to see what is found.")
app.add_typer(faults_app, name="faults")


@faults_app.command("apply")
def faults_apply(
    faults: Annotated[str, typer.Option("--faults", help="A list of faults (YAML), or one that comes along: messy.")],
    landing: Annotated[Path, typer.Option(help="Folder with the extracts; it is changed in place.")],
    cut: Annotated[str | None, typer.Option(help="Plant as of this extract; every fault otherwise.")] = None,
    expected: Annotated[Path | None, typer.Option(help="Write the findings that follow to this CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plant faults written as data in a folder of extracts."""
    options = [
        *(["--cut", cut] if cut else []),
        *(["--expected", str(expected)] if expected else []),
    ]
    said = call_synthetic("faults", "apply", "--faults", faults, "--landing", str(landing), *options).strip()
    if as_json:
        print_json({"landing": str(landing), "expected": str(expected) if expected else None, "said": said})
        return
    out_console().print(said, markup=False)


@spec_app.command("check")
def spec_check(study: StudyName, placement: Placement = None, as_json: AsJson = False) -> None:
    """Read a study's whole specification and report every fault at once, then those of its rules."""
    from transforms.errors import ConfigurationError
    from transforms.study import Study
    from transforms.submission import agencies
    from transforms.validation.rules import rule_book

    try:
        loaded = Study.load(study, placement=placement)
        rule_book(loaded)
        agencies.read(loaded.folder)
    except ConfigurationError as error:
        if not as_json:
            raise
        print_json({"faults": [fault.__dict__ for fault in error.faults]})
        raise typer.Exit(error.exit_code) from error
    variables = Counter(name for name, dataset in loaded.datasets.items() for _ in dataset.variables)
    if as_json:
        print_json({"faults": [], "datasets": dict(variables)})
        return
    out_console().print(
        f"{loaded.name}: no fault. Sources {len(loaded.sources)}, datasets {len(loaded.datasets)}, "
        f"tables {len(loaded.tables)}."
    )


@spec_app.command("guide")
def spec_guide(study: StudyName) -> None:
    """Print what guide.yml says, as Markdown for the page of the study."""
    from transforms.study import Study
    from transforms.study.guide import markdown

    sys.stdout.write("\n".join(markdown(Study.load(study).guide)).lstrip("\n") + "\n")


@spec_app.command("export")
def spec_export(
    study: StudyName,
    out: Annotated[
        Path | None, typer.Option(help="The workbook to write; STUDY_specification.xlsx here otherwise.")
    ] = None,
    placement: Placement = None,
) -> None:
    """Write the specification of what is to be submitted as a workbook, in the sheets that Pinnacle 21 uses."""
    from transforms.study import Study
    from transforms.workbook import write_workbook

    loaded = Study.load(study, placement=placement)
    path = out or Path(f"{loaded.name}_specification.xlsx")
    path.write_bytes(write_workbook(loaded))
    out_console().print(
        f"{path}: the specification of {loaded.name}. `./cairn spec import` takes changes back", markup=False
    )


@spec_app.command("import")
def spec_import(
    study: StudyName,
    file: Annotated[Path, typer.Argument(help="A workbook that `spec export` wrote, with changes.")],
    placement: Placement = None,
    as_json: AsJson = False,
) -> None:
    """Write what was changed in a workbook into the study's files, all of it or nothing."""
    from transforms.errors import UsageError
    from transforms.study import Study
    from transforms.study.load import find_folder
    from transforms.workbook import finish, notes, read_workbook

    finished = finish(find_folder(study))
    if finished:
        raise UsageError(
            f"an import that was cut short is finished now: {', '.join(finished)}. "
            "For further changes export the workbook again"
        )
    loaded = Study.load(study, placement=placement)
    if not file.is_file():
        raise UsageError(f"{file} is no file. Name the workbook that `spec export` wrote")
    content = file.read_bytes()
    changes, left = read_workbook(loaded, content), notes(content)
    if as_json:
        told = [{**one.__dict__, "places": list(map(str, one.places))} for one in changes]
        print_json({"changes": told, "notes": left})
        return
    out = out_console()
    for note in left:
        out.print(note, markup=False)
    for one in changes:
        out.print(f"{one.cell}: {one.after!r} now stands in {'; '.join(map(str, one.places))}", markup=False)
    out.print(
        f"{loaded.name}: {len(changes)} change(s) written." if changes else f"{loaded.name}: nothing was changed."
    )
