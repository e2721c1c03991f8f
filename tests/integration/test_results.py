"""The outputs of the reference study: a second route, the records behind each cell, PostgreSQL, and the way to raw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.conftest import Served
from tests.integration.second_route import SecondRoute, described, product_limit, student_975
from transforms import pipeline
from transforms.cli import app
from transforms.pages import write_pages
from transforms.pipeline import Home
from transforms.reporting.layout import pages_of
from transforms.study import Study
from transforms.trace import Tracer, cell_origins

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The study, published in files and in PostgreSQL."""

    home: Path
    snapshot: Path
    rows: list[Row]
    url: str

    def of(self, output: str, analysis: str, *statistics: str) -> list[Row]:
        """Rows of one analysis."""
        found = [
            row
            for row in self.rows
            if row["output_id"] == output and row["analysis_id"] == analysis and row["statistic"] in statistics
        ]
        assert found, f"{output} has no {analysis}"
        return found


@pytest.fixture(scope="module")
def run(served_reference: Served) -> Run:
    rows = pq.read_table(served_reference.snapshot / "results" / "analysis_results.parquet").to_pylist()
    return Run(served_reference.home, served_reference.snapshot, rows, served_reference.reader)


@pytest.fixture(scope="module")
def second(run: Run) -> SecondRoute:
    cut_off = json.loads((run.snapshot / "manifest.json").read_text(encoding="utf-8"))["cut_off"]
    return SecondRoute(run.snapshot / "sdtm", cut_off)


def levels(row: Row) -> dict[str, str]:
    return {row[f"level_{n}_variable"]: row[f"level_{n}"] for n in range(1, 5) if row[f"level_{n}_variable"]}


def test_the_primary_table_agrees_with_the_second_route(run: Run, second: SecondRoute) -> None:
    ours: dict[tuple[str, ...], Row] = {}
    for row in run.of("T14.3.3", "related", "n", "events"):
        at = levels(row)
        key = (row["group_id"], at.get("AEBODSYS", ""), at.get("AEDECOD", ""), at.get("ATOXGRN", ""))
        ours.setdefault(key, {})[row["statistic"]] = row["value"]
    theirs = second.related()
    assert set(theirs) <= set(ours)
    assert len(theirs) > 100
    for key, cell in ours.items():
        assert (cell["n"], cell["events"]) == theirs.get(key, (0, 0)), key  # type: ignore[comparison-overlap]
    sizes = {row["group_id"]: row["value"] for row in run.of("T14.3.3", "population", "n")}
    assert sizes == second.sizes()
    overview = {
        (row["group_id"], row["statistic"]): row["value"] for row in run.of("T14.3.1", "related", "n", "events")
    }
    for group in sizes:
        assert (overview[group, "n"], overview[group, "events"]) == theirs[group, "", "", ""]


STATISTICS = ("n", "mean", "sd", "median", "q1", "q3", "min", "max", "ci_low", "ci_high")


def test_student_quantiles_are_the_published_ones() -> None:
    """Fisher and Yates, Statistical Tables, III."""
    published = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 10: 2.228, 11: 2.201, 30: 2.042, 35: 2.030}
    assert {freedom: round(student_975(freedom), 3) for freedom in published} == published


def compared(rows: list[Row], found: dict[tuple[str, str], list[float]]) -> int:
    """How many cells of an analysis were compared with the values of each column and visit."""
    for row in rows:
        at = row["group_id"], levels(row)["AVISIT"]
        expected = described(found.get(at, [])).get(row["statistic"])
        place = (*at, row["statistic"], row["level_1"])
        if expected is None:
            assert row["value"] is None, place
        else:
            assert row["value"] == pytest.approx(expected, abs=1e-9, rel=1e-12), place
    return len(rows)


@pytest.mark.parametrize(
    ("output", "score", "param"),
    [("T14.2.1", "MELD", "MELD Score (MELD(i), UNOS/OPTN)"), ("T14.2.3.1", "CPTOT", ""), ("T14.2.4", "KPS", "")],
)
def test_the_changes_agree_with_the_second_route(
    run: Run, second: SecondRoute, output: str, score: str, param: str
) -> None:
    rows = [row for row in run.of(output, "change", *STATISTICS) if levels(row).get("PARAM", param) == param]
    assert compared(rows, second.changes(score)) == 4 * 4 * 10


LIVER = {
    "Bilirubin (umol/L)": "BILI",
    "Albumin (g/L)": "ALB",
    "Prothrombin Intl. Normalized Ratio": "INR",
    "Prothrombin Time (s)": "PT",
    "Prothrombin Activity (%)": "PTA",
    "Alanine Aminotransferase (U/L)": "ALT",
    "Aspartate Aminotransferase (U/L)": "AST",
    "Cholinesterase (U/L)": "CHOLINES",
    "Platelets (10^9/L)": "PLAT",
    "Creatinine (umol/L)": "CREAT",
}


def test_liver_function_agrees_with_the_second_route(run: Run, second: SecondRoute) -> None:
    assert sum(row["value"] for row in run.of("T14.2.2", "population", "n")) == 2 * len(second.full())
    cells = 0
    for analysis, change in (("value", False), ("change", True)):
        rows = run.of("T14.2.2", analysis, *STATISTICS)
        assert {row["level_1"] for row in rows} == set(LIVER)
        for param, code in LIVER.items():
            own = [row for row in rows if row["level_1"] == param]
            cells += compared(own, second.at_visits(second.liver(code), change))
    for analysis, change in (("albi", False), ("albi_change", True)):
        cells += compared(run.of("T14.2.2", analysis, *STATISTICS), second.at_visits(second.albi(), change))
    assert cells == len([row for row in run.rows if row["output_id"] == "T14.2.2"]) - 4
    assert cells == (10 + 1) * (5 + 4) * 4 * 10


def test_survival_agrees_with_the_second_route(run: Run, second: SecondRoute) -> None:
    survival = second.survival()
    compared = 0
    for row in run.of("T14.2.5", "month_12", "survival", "ci_low", "ci_high"):
        if levels(row)["PARAM"] != "Overall Survival from the Last Dose (days)":
            continue
        found = product_limit(survival[row["group_id"]], 366)
        expected = dict(zip(("survival", "ci_low", "ci_high"), found, strict=True))[row["statistic"]]
        if expected is None:
            assert (row["value"], row["text"]) == (None, "NE")
        else:
            assert row["value"] == pytest.approx(100 * expected, abs=1e-7)
        compared += 1
    assert compared == 4 * 3
    events = {row["group_id"]: row["value"] for row in run.of("T14.2.5", "survival", "events")}
    assert events["TOTAL"] > 0


def test_one_query_gives_the_records_of_a_cell(run: Run) -> None:
    """The condition beside a value selects in PostgreSQL as many records and subjects as the value says."""
    distinct: dict[tuple[str, str], Row] = {(row["dataset"], row["source_where"]): row for row in run.rows}
    sample = list(distinct.values())[:: max(len(distinct) // 400, 1)]
    sample += run.of("T14.3.3", "related", "n") + run.of("T14.2.3.2", "month_12", "n")
    datasets = set()
    with psycopg.connect(run.url) as connection:
        connection.execute("set search_path to ucmsc_dac_adam, ucmsc_dac_sdtm")
        for row in sample:
            query = (
                f"select count(*), count(distinct usubjid) from {row['dataset'].lower()} where {row['source_where']}"
            )
            counted = connection.execute(query).fetchone()  # type: ignore[arg-type, call-overload]
            assert counted == (row["n_records"], row["n_subjects"]), query
            datasets.add(row["dataset"])
    assert datasets >= {"ADSL", "ADAE", "ADLB", "ADEFF", "ADTTE", "ADEX"}


def test_results_stand_in_the_database(run: Run) -> None:
    with psycopg.connect(run.url) as connection:
        (rows,) = connection.execute("select count(*) from ucmsc_dac_results.analysis_results").fetchone() or (0,)
        mean = connection.execute(
            "select avg(chg) from ucmsc_dac_adam.adeff where anl01fl = 'Y' and anl03fl = 'Y' and paramcd = 'MELD' "
            "and avisit = 'Month 3' and chg is not null "
            "and usubjid in (select usubjid from ucmsc_dac_adam.adsl where fasfl = 'Y')"
        ).fetchone()
        assert rows == len(run.rows)
        shown = connection.execute(
            "select value from ucmsc_dac_results.analysis_results where output_id = 'T14.2.1' "
            "and analysis_id = 'change' and group_id = 'TOTAL' and statistic = 'mean' and level_2 = 'Month 3' "
            "and level_1 like 'MELD Score (MELD(i)%'"
        ).fetchone()
    assert mean is not None
    assert shown is not None
    assert shown[0] == pytest.approx(float(mean[0]))


def test_results_are_named_by_their_keys(run: Run) -> None:
    table = pq.read_table(run.snapshot / "results" / "analysis_results.parquet")
    keys = pipeline.RESULT_KEYS["ANALYSIS_RESULTS"]
    assert len({tuple(row[key] for key in keys) for row in run.rows}) == table.num_rows
    assert all((field.metadata or {}).get(b"label") for field in table.schema)


def test_a_cell_leads_to_its_raw_lines(run: Run) -> None:
    (origin,) = cell_origins(run.snapshot, "t14.3.1", {"ANALYSIS": "related", "GROUP": "TOTAL", "STATISTIC": "n"})
    tracer = Tracer(run.snapshot)
    assert origin.dataset == "ADAE"
    assert len(origin.records) == origin.row["n_records"] > 20
    subjects = {tracer.value("ADAE", record, "USUBJID") for record in origin.records}
    assert len(subjects) == origin.row["value"]
    leaves = tracer.trace("ADAE", origin.records[0], "AREL").all_leaves()
    assert any(leaf.kind == "raw" and "_AE_" in leaf.file and leaf.line for leaf in leaves)


def test_a_cell_is_led_back_by_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_HOME", str(run.home))
    keys = ["ANALYSIS=change", "GROUP=UC10", "AVISIT=Month 6", "STATISTIC=mean", "PARAM=MELD 3.0 Score"]
    options = ["--cell", "T14.2.1", "--records", "1", "--variable", "CHG", "--json"]
    said = CliRunner().invoke(app, ["trace", "ucmsc_dac", *keys, *options])
    assert said.exit_code == 0, said.output
    (cell,) = json.loads(said.output)
    assert len(cell["records"]) == cell["n_records"]
    assert [step["variable"] for step in cell["steps"]] == ["CHG"]
    assert CliRunner().invoke(app, ["trace", "ucmsc_dac", "--cell", "T99"]).exit_code != 0


def test_nothing_is_left_out_of_a_table_in_silence(run: Run) -> None:
    found = pq.read_table(run.snapshot / "findings.parquet").to_pylist()
    assert not [one for one in found if one["rule"] == "result_not_shown"], "the outputs do not fit clean extracts"


def test_a_summary_is_of_one_value_of_each_subject(run: Run) -> None:
    """A mean over several records of a subject, such as a series on the day of an infusion, would weigh it more."""
    summaries = [row for row in run.rows if row["method"] == "summary" and row["statistic"] == "n"]
    assert len({row["output_id"] for row in summaries}) > 12
    several = {(row["output_id"], row["analysis_id"]) for row in summaries if row["n_records"] != row["n_subjects"]}
    assert several == set()


def test_main_tables_hold_no_p_value(run: Run) -> None:
    tested = {row["output_id"] for row in run.rows if row["method"] in {"signed_rank", "repeated_measures"}}
    assert tested == {"S14.2.1", "S14.2.2"}
    outputs = pq.read_table(run.snapshot / "results" / "analysis_outputs.parquet").to_pylist()
    for one in outputs:
        if one["output_id"].startswith("S"):
            assert one["subtitle"] == "Descriptive, no control of multiplicity"


def test_pages_are_the_same_bytes_twice(run: Run, tmp_path: Path) -> None:
    study, where = Study.load("ucmsc_dac"), Home(run.home, "ucmsc_dac")
    only = ["T14.2.5", "T14.3.6.1", "F14.2.1", "F14.3.5"]
    one, two = (write_pages(where, study, folder=tmp_path / name, only=only) for name in ("one", "two"))
    assert one.outputs == two.outputs
    files = sorted(path.name for path in one.path.iterdir())
    assert {Path(name).suffix for name in files} == {".html", ".rtf", ".svg", ".png"}
    for name in files:
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name


def test_every_output_is_laid_out_and_says_what_it_shows(run: Run) -> None:
    source = run.snapshot / "results"
    tables = (pq.read_table(source / f"{name}.parquet") for name in ("analysis_outputs", "analysis_results"))
    pages = {page.output_id: page for page in pages_of(*tables)}
    required = {f"T14.1.{n}" for n in range(1, 7)} | {f"T14.2.{n}" for n in ("1", "2", "3.1", "3.2", "4", "5", "6")}
    required |= {f"T14.3.{n}" for n in ("1", "2", "3", "4", "5.1", "5.2", "6.1", "6.2", "7", "8.1", "8.2", "9.1")}
    required |= {"F14.2.1", "F14.2.2", "F14.2.3", "F14.3.5", "F14.3.8", "F14.3.9"} | {f"S14.2.{n}" for n in range(1, 6)}
    assert required <= set(pages)
    for page in pages.values():
        assert page.title
        assert page.population
        assert page.kind == "figure" or page.rows, page.output_id
    table = pages["T14.2.3.2"]
    dose = [row for row in table.rows if row.cells]
    assert len(dose) == 4 * 4 * 3
    total = sum(int(text.split()[0]) for row in dose for text in row.cells)
    assert total == 4 * 2 * 36, "every subject of every group once at each of four visits, and again in the total"
