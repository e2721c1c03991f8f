"""The specification as a workbook: nothing is lost on the way there and back, and every edit lands where it belongs."""

from __future__ import annotations

import difflib
import io
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from tests.small_study import SmallStudy
from transforms.commands.studies import spec_import
from transforms.errors import ConfigurationError, UsageError
from transforms.study import Study
from transforms.study.load import MAPPINGS
from transforms.workbook import WorkbookFaultsError, finish, notes, read_workbook, write_workbook

SHEETS = [
    "Study", "Datasets", "Variables", "ValueLevel", "WhereClauses", "Codelists", "Dictionaries", "Methods", "Comments",
    "Documents", "Analysis Displays", "Analysis Results",
]  # fmt: skip
"""As Pinnacle 21 names and orders the sheets of a define specification."""


@pytest.fixture(scope="module")
def workbooks() -> dict[str, bytes]:
    return {name: write_workbook(Study.load(name)) for name in ("ucmsc_dac", "cdiscpilot01")}


@pytest.fixture
def copied(tmp_path: Path) -> Study:
    return Study.load(shutil.copytree(MAPPINGS / "ucmsc_dac", tmp_path / "ucmsc_dac"))


def saved(content: bytes, change: Callable[[Any], None] = lambda book: None) -> bytes:
    """A workbook as another program saves it after a change."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    change(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def cell(book: Any, sheet: str, column: str, **key: str) -> Any:
    """The cell of a column in the row that has these texts."""
    header = [one.value for one in book[sheet][1]]
    for row in book[sheet].iter_rows(min_row=2):
        texts = dict(zip(header, row, strict=True))
        if all(texts[name.replace("_", " ")].value == wanted for name, wanted in key.items()):
            return texts[column]
    raise AssertionError(f"{sheet} has no row {key}")


def files(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_bytes().decode() for one in folder.rglob("*") if one.is_file()}


def changed_lines(folder: Path) -> list[str]:
    """The lines that a copy of the reference study has instead of its own or beside them."""
    before, after = files(MAPPINGS / "ucmsc_dac"), files(folder)
    assert set(before) == set(after)
    told = [
        line
        for name in sorted(before)
        for line in difflib.unified_diff(before[name].splitlines(), after[name].splitlines(), name, n=0, lineterm="")
    ]
    return [line for line in told if line[:1] in "+-" and not line.startswith(("---", "+++"))]


@pytest.mark.parametrize("study", ["ucmsc_dac", "cdiscpilot01"])
def test_a_workbook_is_the_same_twice_and_comes_back_without_a_change(
    workbooks: dict[str, bytes], study: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(MAPPINGS / study, tmp_path / study))
    loaded = Study.load(folder)
    assert write_workbook(loaded) == workbooks[study]
    assert openpyxl.load_workbook(io.BytesIO(workbooks[study])).sheetnames == SHEETS
    assert read_workbook(loaded, workbooks[study]) == []
    assert read_workbook(loaded, saved(workbooks[study])) == []
    assert files(folder) == files(MAPPINGS / study)


def test_what_a_spreadsheet_makes_of_a_cell_is_no_change(copied: Study, workbooks: dict[str, bytes]) -> None:
    """A spreadsheet keeps `5.0`, the version of CTCAE, as the number 5, and blanks at the end of a text."""

    def convert(book: Any) -> None:
        cell(book, "Dictionaries", "Version", ID="CL.CTCAE").value = 5
        cell(book, "Datasets", "Label", Dataset="ADEFF").value += "  "

    assert read_workbook(copied, saved(workbooks["ucmsc_dac"], convert)) == []
    assert changed_lines(copied.folder) == []

    def edit(book: Any) -> None:
        cell(book, "Dictionaries", "Version", ID="CL.CTCAE").value = 6

    assert [one.after for one in read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))] == ["6"]
    assert changed_lines(copied.folder)[1].startswith('+dictionaries: {AE: {name: CTCAE, version: "6"')


def test_the_sheets_say_what_the_specification_says(workbooks: dict[str, bytes]) -> None:
    """Labels of SDTMIG 3.4 and of ADaMIG 1.3; C66731 is the codelist SEX of NCI."""
    book = openpyxl.load_workbook(io.BytesIO(workbooks["ucmsc_dac"]))
    assert (
        cell(book, "Variables", "Label", Dataset="AE", Variable="AETERM").value == "Reported Term for the Adverse Event"
    )
    assert cell(book, "Variables", "Mandatory", Dataset="DM", Variable="USUBJID").value == "Yes"
    assert cell(book, "Variables", "Codelist", Dataset="DM", Variable="SEX").value == "CL.SEX"
    assert cell(book, "Codelists", "NCI Codelist Code", ID="CL.SEX", Term="M").value == "C66731"
    assert (
        cell(book, "Variables", "Label", Dataset="ADSL", Variable="TRT01P").value == "Planned Treatment for Period 01"
    )
    assert cell(book, "Datasets", "Class", Dataset="ADLB").value == "BASIC DATA STRUCTURE"


def test_edits_land_in_their_lines_and_nowhere_else(copied: Study, workbooks: dict[str, bytes]) -> None:
    def edit(book: Any) -> None:
        cell(book, "Datasets", "Label", Dataset="ADEFF").value = "Liver Scores: Analysis"
        cell(book, "Methods", "Description", ID="MT.ADLB.AVAL").value = "The result in SI units."
        cell(book, "Codelists", "Decoded Value", ID="CL.ADEFF.PARAMCD", Term="CPINR").value = 'Points, "INR"'
        book["Comments"].append(["COM.AE.AETERM", "As written by the investigator"])
        cell(book, "Variables", "Comment", Dataset="AE", Variable="AETERM").value = "COM.AE.AETERM"

    changes = read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))
    assert [one.column for one in changes] == ["Label", "Decoded Value", "Description", "Description"]
    told = changed_lines(copied.folder)
    assert [line for line in told if line.startswith("+")] == [
        '+label: "Liver Scores: Analysis"',
        "+    method: The result in SI units.",
        next(line for line in told if line.startswith("+") and "comment: As written by the investigator" in line),
        '+CPINR,115,"Points, ""INR""",CHILD-PUGH',
    ]
    assert sum(line.startswith("-") for line in told) == 3
    again = openpyxl.load_workbook(io.BytesIO(write_workbook(Study.load(copied.folder))))
    assert cell(again, "Comments", "Description", ID="COM.AE.AETERM").value == "As written by the investigator"
    assert cell(again, "Methods", "Description", ID="MT.ADLB.AVAL").value == "The result in SI units."


def test_what_cannot_be_changed_is_refused_at_once_and_nothing_is_written(
    copied: Study, workbooks: dict[str, bytes]
) -> None:
    def edit(book: Any) -> None:
        cell(book, "Variables", "Label", Dataset="AE", Variable="AETERM").value = "Event"
        cell(book, "Variables", "Length", Dataset="ADSL", Variable="AGE").value = 4
        cell(book, "Variables", "Origin", Dataset="AE", Variable="AETERM").value = "Derived"
        cell(book, "Datasets", "Label", Dataset="ADEFF").value = "Liver Scores"
        cell(book, "Methods", "Description", ID="MT.ADLB.AVAL").value = None
        book["Codelists"].delete_rows(2)
        book["Variables"].append([99, "AE", "AEXTRA", "Extra"])

    with pytest.raises(WorkbookFaultsError) as caught:
        read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))
    for part in (
        r"Variables, row \d+ (AE AETERM), Label: it cannot be changed here, the standard publishes it",
        "(ADSL AGE), Length: it cannot be changed here, it is worked out from the data",
        "(AE AETERM), Origin: it cannot be changed here, it follows from the rule: change sdtm/ae.yml, line",
        "(MT.ADLB.AVAL), Description: it cannot be changed here, a text is not taken away in a workbook: do it in adam",
        "Codelists: the row CL.",
        "(AE AEXTRA), Label: it cannot be changed here, the specification has no such row",
    ):
        assert part.replace(r"Variables, row \d+ ", "") in str(caught.value)
    assert changed_lines(copied.folder) == []


def test_two_cells_of_one_place_must_say_the_same(copied: Study, workbooks: dict[str, bytes]) -> None:
    """PARAM of ALBI is the decode of its code and of its number, 131."""

    def edit(book: Any) -> None:
        cell(book, "Codelists", "Decoded Value", ID="CL.ADEFF.PARAMCD", Term="ALBI").value = "ALBI (points)"
        cell(book, "Codelists", "Decoded Value", ID="CL.ADEFF.PARAMN", Term="131").value = "ALBI (score)"

    with pytest.raises(
        WorkbookFaultsError, match=r"says something else for tables/adam_parameters\.csv, line \d+ \(PARAM"
    ):
        read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))
    assert changed_lines(copied.folder) == []


def test_a_change_that_makes_the_specification_faulty_is_refused(copied: Study, workbooks: dict[str, bytes]) -> None:
    def edit(book: Any) -> None:
        cell(book, "Codelists", "Decoded Value", ID="CL.LBTESTCD", Term="ALB").value = "Egg White"

    with pytest.raises(ConfigurationError, match="'Egg White' is not a term of C67154"):
        read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))
    assert changed_lines(copied.folder) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda book: book.remove(book["Methods"]), "sheet Methods: it is missing"),
        (lambda book: book.create_sheet("Notes"), "sheet Notes: it is not one of the workbook's"),
        (lambda book: book["Variables"].delete_cols(4), "Variables: the column Label is missing"),
        (lambda book: book["Methods"].cell(1, 12, "Remark"), "Methods: the column Remark is not one of the sheet's"),
        (
            lambda book: book["Methods"].append(["MT.ADLB.AVAL"]),
            r"Methods, row \d+: MT.ADLB.AVAL is in row \d+ already",
        ),
        (lambda book: book["Study"].cell(2, 2, "=1+1"), "Study!B2: it is a formula"),
        (
            lambda book: book["Study"].cell(3, 2, datetime(2024, 1, 2)),
            "Study!B3: it is a date or time of the spreadsheet. Format the cell as text",
        ),
        (lambda book: book["Study"].cell(3, 2, timedelta(hours=3)), "Study!B3: it is a date or time"),
        (lambda book: book["Study"].cell(3, 2, True), "Study!B3: it is a truth value. Format the cell as text"),
        (lambda book: book["Study"].cell(3, 2, "#REF!"), "Study!B3: it is an error, #REF!. Write the text itself"),
        (lambda book: book["Methods"].merge_cells("A2:B3"), "Methods!A2:B3: the cells are merged. Take them apart"),
        (lambda book: book["Methods"].cell(4, 1, " "), "Methods, row 4: ID missing. Fill it, or clear the whole row"),
    ],
)
def test_a_workbook_of_another_form_is_refused(
    copied: Study, workbooks: dict[str, bytes], change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(WorkbookFaultsError, match=message):
        read_workbook(copied, saved(workbooks["ucmsc_dac"], change))


def test_a_workbook_of_another_specification_is_refused(copied: Study, workbooks: dict[str, bytes]) -> None:
    with pytest.raises(WorkbookFaultsError, match="another state of a specification than ucmsc_dac is in now"):
        read_workbook(copied, workbooks["cdiscpilot01"])
    path = copied.folder / "adam" / "adeff.yml"
    path.write_text(path.read_text(encoding="utf-8") + "# reviewed\n", encoding="utf-8")
    with pytest.raises(WorkbookFaultsError, match="Export it again"):
        read_workbook(Study.load(copied.folder), workbooks["ucmsc_dac"])


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("xl/workbook.xml", b"<workbook"),
        ("xl/worksheets/sheet2.xml", b"<worksheet><sheetData><row><c"),
        ("[Content_Types].xml", None),
    ],
)
def test_a_broken_file_is_refused(
    copied: Study, workbooks: dict[str, bytes], part: str, content: bytes | None, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.xlsx"
    with zipfile.ZipFile(io.BytesIO(workbooks["ucmsc_dac"])) as whole, zipfile.ZipFile(broken, "w") as torn:
        assert part in whole.namelist()
        for name in whole.namelist():
            if name != part:
                torn.writestr(name, whole.read(name))
            elif content is not None:
                torn.writestr(name, content)
    for one in (broken.read_bytes(), workbooks["ucmsc_dac"][:-500], b"Order,Dataset\n", b""):
        with pytest.raises(UsageError, match="no Excel workbook"):
            read_workbook(copied, one)


def test_hidden_rich_and_moved_cells_are_read(copied: Study, workbooks: dict[str, bytes]) -> None:
    def edit(book: Any) -> None:
        label = cell(book, "Datasets", "Label", Dataset="ADEFF")
        label.value = CellRichText("Liver ", TextBlock(InlineFont(b=True), "Scores"))
        cell(book, "Methods", "Description", ID="MT.ADLB.AVAL").value = "The result in SI units."
        book["Methods"].insert_rows(2, 3)
        book["Methods"].sheet_state = "hidden"

    changes = read_workbook(copied, saved(workbooks["ucmsc_dac"], edit))
    assert [one.after for one in changes] == ["Liver Scores", "The result in SI units."]


def test_notes_on_cells_are_told_and_not_taken(
    small: SmallStudy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A note of a spreadsheet is no change; it is never dropped without a word."""

    def edit(book: Any) -> None:
        noted = cell(book, "Datasets", "Label", Dataset="DM")
        noted.comment = openpyxl.comments.Comment("To be discussed", "A reviewer")
        book["Study"].cell(40, 9).comment = openpyxl.comments.Comment("On an empty cell", "A reviewer")

    before, workbook = files(small.folder), tmp_path / "noted.xlsx"
    workbook.write_bytes(saved(write_workbook(Study.load(small.folder)), edit))
    told = notes(workbook.read_bytes())
    assert [one.partition(" has a note, which is not taken. ")[0] for one in told] == ["Study!I40", "Datasets!B2"]
    spec_import(str(small.folder), workbook)
    shown = " ".join(capsys.readouterr().out.split())
    assert all(one in shown for one in told) and "small: nothing was changed." in shown
    assert "To be discussed" not in shown and files(small.folder) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from transforms import workbook

replace, left = Path.replace, int(sys.argv[2])

def counted(one, other):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return replace(one, other)

Path.replace = counted
workbook._write(Path(sys.argv[1]), {"study.yml": "new", "sdtm/dm.yml": "new", "sdtm/vs.yml": "new"})
"""


@pytest.mark.parametrize(("replaced", "changed"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_a_change_that_is_killed_is_made_wholly_or_not_at_all(small: SmallStudy, replaced: int, changed: int) -> None:
    """The first replacement is that of the journal; with it the change is finished, without it nothing was changed."""
    names = ["study.yml", "sdtm/dm.yml", "sdtm/vs.yml"]
    done = subprocess.run([sys.executable, "-c", KILLED, str(small.folder), str(replaced)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [(small.folder / name).read_text() == "new" for name in names].count(True) == changed
    if not replaced:
        assert finish(small.folder) == []
        assert small.load().name == "small"
        return
    with pytest.raises(UsageError, match=r"the import of a workbook was cut short.*spec import finishes it"):
        small.load()
    assert finish(small.folder) == names
    assert {(small.folder / name).read_text() for name in names} == {"new"}
    assert finish(small.folder) == []
