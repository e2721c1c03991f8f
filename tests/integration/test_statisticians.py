"""What docs/statisticians.md tells statisticians to type, and the notebook, run against the reference study."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from tests.conftest import Served

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "statisticians.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs" / "notebooks" / "primary_and_survival.ipynb").read_text(encoding="utf-8"))


def snippets(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/statisticians.md has nothing in {language}"
    return found


def psql(published: Served, script: str) -> str:
    program = shutil.which("psql")
    if program is None:
        message = "NOT TESTED: psql is not installed, so nothing of docs/statisticians.md was run in it"
        if os.environ.get("CI"):
            pytest.fail(f"{message}, and continuous integration must test it")
        pytest.skip(message)
    done = subprocess.run(
        [program, published.reader, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def environment(served_reference: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("CAIRN_URL", served_reference.reader)
    monkeypatch.setenv("CAIRN_HOME", str(served_reference.home))
    return served_reference


def test_psql_runs_what_the_page_says(served_reference: Served) -> None:
    told = [psql(served_reference, script) for script in snippets("sql")]
    assert "Overall" not in told[0]
    assert re.search(r"aval\s*\|\s*double precision.*Analysis Value", told[0])
    assert re.search(r"OSLD\s*\|\s*36\s*\|\s*\d+", told[0])
    assert served_reference.snapshot.name in told[1]
    assert "UCMSC_AE_" in told[2]
    assert all("(0 rows)" not in one for one in told)


def test_pandas_runs_what_the_page_says(environment: Served) -> None:
    from_database, from_files = [run([script]) for script in snippets("python")]
    assert from_database["snapshot"] == environment.snapshot.name
    one, two = from_database["adsl"], from_files["adsl"]
    assert len(one) == len(two) > 36
    two.columns = two.columns.str.lower()
    assert list(one.columns) == list(two.columns)
    for name in one.columns:
        kind = two[name].dtype
        if name.endswith(("dt", "dtm")):
            same = pd.to_datetime(one[name]).eq(pd.to_datetime(two[name]))
        else:
            same = one[name].astype(kind).eq(two[name])
        assert (same | (one[name].isna() & two[name].isna())).all(), name


def test_the_query_of_the_page_says_what_a_number_is_from(served_reference: Served) -> None:
    (query,) = [one for one in snippets("sql") if "ops.selected" in one]
    with psycopg.connect(served_reference.reader) as connection:
        rows = pd.DataFrame(connection.execute(query).fetchall())
        columns = ["text", "record", "step", "read_by", "dataset", "of", "variable", "value", "rule", "specification"]
        rows.columns = pd.Index([*columns, "ends_in", "file", "line", "columns"])
        events = connection.execute(
            "SELECT record_number FROM ucmsc_dac_records.adae WHERE trtemfl = 'Y' AND arel = 'RELATED' AND usubjid IN "
            "(SELECT usubjid FROM ucmsc_dac_adam.adsl WHERE saffl = 'Y' AND trt01an = 1)"
        ).fetchall()
    assert set(rows["record"]) == {number for (number,) in events}
    first = rows[rows["step"] == 1]
    assert set(first["value"]) == {"RELATED"}
    raw = rows[(rows["ends_in"] == "raw") & (rows["variable"] == "AEREL")]
    assert set(raw["record"]) == set(rows["record"])
    assert raw["file"].str.startswith("UCMSC_AE_").all()


def test_r_is_shown_and_said_not_to_be_run() -> None:
    database, survival, files = snippets("r")
    assert "RPostgres::Postgres()" in database
    assert 'conf.type = "log-log"' in survival
    assert "arrow::read_parquet" in files
    assert "No test runs R." in PAGE


def run(cells: list[str]) -> dict[str, Any]:
    """Run cells in order, in one namespace."""
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), namespace)
    return namespace


def code(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_reproduces_the_primary_table_and_survival(environment: Served) -> None:
    found = run(code(NOTEBOOK))
    assert found["snapshot"] == environment.snapshot.name
    assert len(found["treated"]) == 36
    for told, least in ((found["table_agrees"], 300), (found["survival_agrees"], 20)):
        assert int(told.split()[0]) > least
    assert len(found["primary"]) > 50
    assert set(found["survival"].index.get_level_values(1)) == {"UC05", "UC10", "UC20", "TOTAL"}


@pytest.mark.parametrize(("output", "statistic"), [("T14.3.3", "n"), ("T14.2.5", "ci_low")])
def test_the_notebook_finds_a_number_that_differs(environment: Served, output: str, statistic: str) -> None:
    cells = code(NOTEBOOK)
    place = next(number for number, cell in enumerate(cells) if "PUBLISHED" in cell)
    changed = (
        f"where = published['output_id'].eq('{output}') & published['statistic'].eq('{statistic}')\n"
        "where &= published['group_id'].eq('TOTAL') & published['value'].gt(1)\n"
        "published.loc[where.idxmax(), 'value'] += 1\n"
    )
    with pytest.raises(ValueError, match="these differ"):
        run([*cells[: place + 1], changed, *cells[place + 1 :]])


def test_the_notebook_holds_no_outputs_and_reads_no_results_to_compute_them() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    for cell in NOTEBOOK["cells"]:
        assert {"id", "cell_type", "metadata", "source"} <= cell.keys()
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    joined = "\n".join(code(NOTEBOOK))
    assert "transforms" not in joined
    assert joined.count("ucmsc_dac_results") == 1
