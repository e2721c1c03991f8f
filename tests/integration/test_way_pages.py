"""The pages of the way back: every link leads somewhere, and a click on a cell ends at the line the Tracer gives."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lxml import html

from tests.conftest import Served
from transforms.errors import UsageError
from transforms.pipeline import Home
from transforms.study import Study
from transforms.trace import Leaf, Tracer, cell_origins
from transforms.way_pages import Written, write_way

OUTPUTS = ("T14.3.3", "T14.2.5", "T14.3.6.2", "F14.2.1", "T14.2.3.2")


def write(published: Served, folder: Path, *outputs: str) -> Written:
    return write_way(Home(published.home, published.study), Study.load(published.study), folder, outputs)


@pytest.fixture(scope="module")
def written(served_reference: Served, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(served_reference, tmp_path_factory.mktemp("way") / "pages", *OUTPUTS)


@pytest.fixture(scope="module")
def pages(written: Written) -> dict[Path, html.HtmlElement]:
    return {path: html.parse(path).getroot() for path in sorted(written.path.rglob("*.html"))}


def led(pages: dict[Path, html.HtmlElement], page: Path, link: html.HtmlElement) -> tuple[Path, html.HtmlElement]:
    """Where a link leads: the page, and the section of it that is named."""
    target, _, place = link.get("href").partition("#")
    path = (page.parent / target).resolve() if target else page
    assert path in pages, f"{page.name} links {link.get('href')}"
    return path, pages[path].get_element_by_id(place) if place else pages[path]


def test_every_link_leads_somewhere_within_the_folder(written: Written, pages: dict[Path, html.HtmlElement]) -> None:
    links = 0
    for path, page in pages.items():
        assert not page.xpath("//script | //@onclick | //img | //iframe"), path.name
        (style,) = page.xpath("//link/@href")
        assert (path.parent / style).resolve() == written.path / "way.css"
        for link in page.xpath("//a"):
            led(pages, path, link)
            links += 1
    assert links > 10_000
    assert written.pages == len(pages)
    assert "url(" not in (written.path / "way.css").read_text()


def test_each_page_says_what_its_data_are(written: Written, pages: dict[Path, html.HtmlElement]) -> None:
    for page in pages.values():
        assert page.xpath("string(//p[@class='label'])") == "SYNTHETIC - NOT PATIENT DATA"
        assert f"Snapshot {written.snapshot_id}" in page.xpath("string(//footer)")
        assert page.xpath("string(//footer)").startswith("Data of subjects.")


def said(leaf: Leaf) -> str:
    parts = [f"{leaf.kind}: {leaf.file}", f" line {leaf.line}" if leaf.line else ""]
    parts.append(f", column {', '.join(leaf.columns)}" if leaf.columns else "")
    return "".join(parts) + (f" (sha256 {leaf.sha256[:12]})" if leaf.sha256 else "")


def ends(pages: dict[Path, html.HtmlElement], page: Path, section: html.HtmlElement, variable: str) -> set[str]:
    """Every end that clicks from one value of a record lead to."""
    found: set[str] = set()
    waiting, seen = [(page, section, variable)], set()
    while waiting:
        page, section, variable = waiting.pop()
        if (page, section.get("id"), variable) in seen:
            continue
        seen.add((page, section.get("id"), variable))
        (row,) = section.xpath(f".//tr[th='{variable}']")
        found |= {one.text_content() for one in row.xpath("td[3]/span")}
        for link in row.xpath("td[3]/a"):
            waiting.append((*led(pages, page, link), link.text_content().partition(".")[2]))
    return found


def test_a_cell_leads_by_clicks_to_the_lines_the_tracer_gives(
    served_reference: Served, written: Written, pages: dict[Path, html.HtmlElement]
) -> None:
    """The subjects with a related event, all dose groups together: from the table to each record and its forms."""
    path = written.path / "t14.3.3.html"
    (row,) = pages[path].xpath("//tbody/tr[th='Any related adverse event']")
    cell = row.xpath("td/a")[-1]
    keys = {"ANALYSIS": "related", "GROUP": "TOTAL", "STATISTIC": "events", "ROW_ORDER": "0"}
    events = [
        one
        for one in cell_origins(served_reference.snapshot, "T14.3.3", {"GROUP": "TOTAL"})
        if one.row["text"] == cell.text_content() and one.row["level_1"] in {None, ""} and one.dataset == "ADAE"
    ]
    assert events, keys
    origin = events[0]
    tracer = Tracer(served_reference.snapshot)
    cells, section = led(pages, path, cell)
    assert f"{origin.row['statistic']} {origin.row['text']}" in section.text_content()
    assert origin.row["source_where"] in section.text_content()
    assert origin.row["method"] in section.text_content()
    (block,) = [one for one in section.xpath("table") if origin.row["source_where"] in one.text_content()]
    links = block.xpath(".//a")
    assert len(links) == len(origin.records) > 10
    for link, record in zip(links, origin.records, strict=True):
        page, place = led(pages, cells, link)
        assert place.get("id") == f"r{record}"
        for variable in origin.variables:
            expected = {said(leaf) for leaf in tracer.trace("ADAE", record, variable).all_leaves()}
            assert ends(pages, page, place, variable) == expected, variable


def test_a_record_leads_to_those_it_was_made_of(
    served_reference: Served, written: Written, pages: dict[Path, html.HtmlElement]
) -> None:
    tracer = Tracer(served_reference.snapshot)
    checked = 0
    for path in sorted((written.path / "records").glob("adae_*.html")):
        for section in pages[path].xpath("//section"):
            record = int(section.get("id")[1:])
            links = section.xpath("p[starts-with(., 'Made of')]/a")
            places = [led(pages, path, link)[1].get("id") for link in links]
            made_of = [one for one in tracer.links("ADAE", record) if one["variable"] is None]
            assert places == [f"r{one['line']}" for one in made_of]
            checked += len(places)
    assert checked > 10


def test_numbers_and_values_are_those_of_the_snapshot(
    served_reference: Served, pages: dict[Path, html.HtmlElement], written: Written
) -> None:
    table = pq.read_table(served_reference.snapshot / "sdtm" / "ae.parquet").to_pylist()
    shown = 0
    for path in sorted((written.path / "records").glob("ae_*.html")):
        for section in pages[path].xpath("//section"):
            record = table[int(section.get("id")[1:]) - 1]
            for row in section.xpath(".//tr[td]"):
                value = record.get(row.xpath("string(th)"))
                written_out = f"{value:.15g}" if isinstance(value, float) else str(value or "")
                assert row.xpath("string(td[1])") == written_out, path.name
                shown += 1
    assert shown > 100


def test_the_same_snapshot_gives_the_same_bytes(served_reference: Served, written: Written, tmp_path: Path) -> None:
    write(served_reference, tmp_path / "again", *OUTPUTS)
    files = sorted(path.relative_to(written.path) for path in written.path.rglob("*") if path.is_file())
    assert (
        sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
        == files
    )
    same, *different = filecmp.cmpfiles(written.path, tmp_path / "again", files, shallow=False)
    assert different == [[], []]
    assert len(same) == len(files)


def test_a_folder_with_files_and_an_unknown_output_are_refused(served_reference: Served, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write(served_reference, tmp_path, "T14.3.3")
    with pytest.raises(UsageError, match=r"no output T99.*T14\.3\.3"):
        write(served_reference, tmp_path / "new", "T99")
    assert not (tmp_path / "new").exists()
