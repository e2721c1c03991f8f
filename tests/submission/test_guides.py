"""The reviewer's guides: what stands in them, that they read on every page, and that nothing is printed as a box."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from tests.submission.pdf import bookmarks_of, pages_of, text_of
from transforms import acts
from transforms.errors import ConfigurationError, UsageError
from transforms.export import export
from transforms.pipeline import Home
from transforms.reporting.fonts import chinese_font
from transforms.submission.guides.fonts import Fonts
from transforms.submission.guides.pages import Cell, Described, Grid, Heading, Text, drawn, fitted

GUIDE = """\
csdrg:
  introduction: [The small study is small.]
  datasets: {VS: [Weights come in two units.]}
  departures: [{what: VS.VSPOS, does: absent, why: not collected}]
  assumptions: [{says: one arm only, where: sdtm/dm.yml}]
"""


@pytest.mark.parametrize(
    ("widths", "needs", "expected"),
    [
        ([50, 50], [20, 20], [50, 50]),
        ([10, 60, 30], [20, 20, 20], [20, 52, 28]),
        ([10, 90], [60, 60], [10, 90]),
    ],
)
def test_columns_are_as_wide_as_their_longest_word(
    widths: list[float], needs: list[float], expected: list[float]
) -> None:
    assert fitted(widths, needs) == expected


PART = ["1 Introduction", "2 Protocol description", "3 Subject data description", "4 Data conformance summary"]


def csdrg(small: SmallStudy) -> Path:
    package = export(Home(small.home, "small"), small.folder, preview=True)
    assert not list(package.folder.rglob("adrg.pdf")), "the small study has no analysis dataset"
    (found,) = package.folder.rglob("csdrg.pdf")
    return found


def test_a_guide_says_what_specification_snapshot_and_people_say(small: SmallStudy) -> None:
    small.specify("guide.yml", GUIDE)
    small.specify("tables/ct_extensions.csv", "CODELIST,TERM,WHY\nC71620,stone,The sites weigh so\n")
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("2024-02-21", "21st of Feb"))
    report = small.run()
    home = Home(small.home, "small")
    found = pq.read_table(report.path / "findings.parquet").to_pylist()
    (critical,) = (one for one in found if one["severity"] == "critical")
    acts.waive(home, critical["finding_id"], by="Dr A. Monitor", reason="the site has closed")
    path = csdrg(small)
    marks = bookmarks_of(path.read_bytes())
    assert [one for one in marks if one in PART] == PART
    assert "5 Appendices" in marks and "3.2.3 VS - Vital Signs" in marks
    text = text_of(path)
    for said in (
        "SMALL-01",
        "Data cut-off 2024-12-31",
        "The small study is small.",
        "Weights come in two units.",
        "VS.VSPOS absent not collected",
        "one arm only sdtm/dm.yml",
        "C71620 Unit stone The sites weigh so",
        "SDTM-121 pointblank TS error 0",
        "(conformance.csv line 2, of",
        "staging vitals excluded deleted_in_source 1 Deleted in the EDC",
        f"{critical['finding_id']} {critical['rule']}",
        "waived Dr A. Monitor",
        date.today().isoformat(),
        "the site has closed",
        "USUBJID, VSTESTCD",
    ):
        assert said in text, said
    dm = pq.read_table(report.path / "sdtm" / "dm.parquet")
    assert f"Total {dm.num_rows}" in text
    assert "calm, rested" not in text and "21st of Feb" not in text
    assert not [one for one in dm["USUBJID"].to_pylist() if one in text]


def test_two_guides_of_a_snapshot_are_the_same_bytes(
    small: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time zone, locale and epoch of the machine change nothing; the time of the file is the cut-off."""
    small.run()
    home = Home(small.home, "small")
    first = export(home, small.folder, preview=True, folder=tmp_path / "one")
    for name, value in (("TZ", "Asia/Shanghai"), ("LC_ALL", "de_DE.UTF-8"), ("SOURCE_DATE_EPOCH", "86400")):
        monkeypatch.setenv(name, value)
    again = export(home, small.folder, preview=True, folder=tmp_path / "two")
    pdfs = sorted(path.relative_to(first.folder) for path in first.folder.rglob("*.pdf"))
    assert [path.name for path in pdfs] == ["acrf.pdf", "csdrg.pdf"]
    for path in pdfs:
        content = (first.folder / path).read_bytes()
        assert content == (again.folder / path).read_bytes()
        assert b"/CreationDate (D:20241231000000" in content


def test_a_text_of_a_dataset_that_is_not_there_is_refused(small: SmallStudy) -> None:
    small.specify("guide.yml", "csdrg: {datasets: {XX: [a]}}\nadrg: {datasets: {ADSL: [b]}}\n")
    with pytest.raises(ConfigurationError) as refused:
        small.load()
    assert {one.place for one in refused.value.faults} == {"csdrg.datasets.XX", "adrg.datasets.ADSL"}


def described() -> Described:
    return Described("A title", "A subject", "A line", datetime(2024, 12, 31))


def test_a_table_repeats_its_head_on_every_page(tmp_path: Path) -> None:
    rows = [(f"row {number}", number) for number in range(300)]
    (tmp_path / "a.pdf").write_bytes(
        drawn(described(), [Heading("One"), Grid(("Some head", "Number"), rows, (3, 1))], None).content
    )
    pages = pages_of(tmp_path / "a.pdf")
    assert len(pages) > 3
    assert all(page.count("Some head") == 1 for page in pages)
    assert all(" ".join(pages).count(f"row {number} ") == 1 for number in range(300))
    assert [f"Page {number}" in page for number, page in enumerate(pages, start=1)] == [True] * len(pages)


def test_a_cell_longer_than_a_page_goes_on(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(3000))
    (tmp_path / "a.pdf").write_bytes(drawn(described(), [Grid(("Head",), [(long,)], (1,))], None).content)
    assert "word2999" in text_of(tmp_path / "a.pdf")


def test_names_are_told_by_the_page_on_which_their_cells_are_drawn(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(3000))
    rows = [(Cell(f"here{number} ", "#ffffff", (f"here{number}",)), "x") for number in range(60)]
    rows.append((Cell(f"{long} there", "#ffffff", ("there", "there too")), "x"))
    made = drawn(described(), [Grid(("Head", "Other"), rows, (1, 1))], None)
    (tmp_path / "a.pdf").write_bytes(made.content)
    pages = pages_of(tmp_path / "a.pdf")
    assert made.count == len(pages)
    for number in range(60):
        assert made.pages[f"here{number}"] == tuple(n for n, page in enumerate(pages, 1) if f"here{number} " in page)
    assert made.pages["there"] == made.pages["there too"] == tuple(n for n, one in enumerate(pages, 1) if "word" in one)


def test_a_character_without_a_font_is_refused_and_never_a_box() -> None:
    with pytest.raises(UsageError, match=r"has 2 characters of the guides \(first: U\+672F, U\+8840\)"):
        Fonts(["血术"], None)
    with pytest.raises(UsageError, match="fonts-noto-cjk"):
        drawn(described(), [Text("溶血")], None)


def test_chinese_is_embedded_and_blanks_are_not_of_its_font(tmp_path: Path) -> None:
    file = chinese_font()
    if file is None:
        pytest.skip("NOT TESTED: no font of this machine has Chinese characters")
    fonts = Fonts(["溶血 ab"], file)
    assert fonts.markup("溶血 a<b") == f'<font name="{fonts.name}">溶血</font> a&lt;b'
    with pytest.raises(UsageError, match=r"U\+10FFFD"):
        Fonts(["\U0010fffd"], file)
    content = drawn(described(), [Heading("采集时间"), Text("结果 and 单位")], file).content
    assert content == drawn(described(), [Heading("采集时间"), Text("结果 and 单位")], file).content
    assert "采集时间" in bookmarks_of(content)
    embedded = re.findall(rb"/BaseFont /(\S+)", content)
    assert len(embedded) >= 2 and all(b"+" in one for one in embedded), (
        "a font that is not embedded has no + in its name"
    )
    (tmp_path / "a.pdf").write_bytes(content)
    assert "结果 and 单位" in text_of(tmp_path / "a.pdf")
