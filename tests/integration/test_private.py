"""What people typed stays in raw, staged and the datasets; ops, findings, reports and logs hold keys and places."""

from __future__ import annotations

import logging

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import pipeline
from transforms.pipeline import Home
from transforms.warehouse.postgres import Database

SECRET = "zqxj"


def test_ops_reports_and_logs_hold_no_subject_data(small: SmallStudy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vitals = EXTRACTS["vitals.csv"]
    for old in ("2024-02-20", "131", "LB", "calm", "Extra 2.1"):
        assert old in vitals
        vitals = vitals.replace(old, f"{SECRET} {old}")
    small.drop("vitals.csv", vitals)
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("FEMALE", SECRET).replace(",70,", f",{SECRET},"))
    small.drop("dosing_2.csv", f"ROW,SUBJ,DRUG,DOSE,START\n5,{SECRET},Testol,5,11-Mar-2024 09:00\n6,001,{SECRET}\n")
    small.drop("dosing_3.csv", f"ROW,SUBJ,DRUG,DOSE,{SECRET}\n7,001,{SECRET},5,11-Mar-2024 09:00\n")
    with Database.open(small.home) as database:
        report = pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)
        assert report.refused
        found = pq.read_table(report.path / "findings.parquet")
        assert {"unreadable_date", "unmapped_term", "unreadable_number", "field_count", "subject_not_in_dm"} <= set(
            found["rule"].to_pylist()
        )
        with psycopg.connect(database.server.urls["owner"]) as connection:
            names = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'ops'::regnamespace AND relkind IN ('r', 'v')"
            ).fetchall()
            rows = 0
            for (name,) in names:
                for (row,) in connection.execute(f"SELECT one::text FROM ops.{name} AS one"):  # type: ignore[arg-type]
                    assert SECRET not in row, name
                    rows += 1
            assert rows > 30
    assert SECRET not in str(found.to_pylist())
    assert SECRET not in str(pq.read_table(report.path / "accounts.parquet").to_pylist())
    assert SECRET not in (report.path / "manifest.json").read_text(encoding="utf-8")
    assert report.page is not None
    assert SECRET not in report.page.read_text(encoding="utf-8")
    assert SECRET not in caplog.text
    where = Home(small.home, "small")
    assert SECRET not in where.publications.path.read_text(encoding="utf-8")
    assert SECRET not in where.raw.log.read_text(encoding="utf-8").replace(f"'{SECRET}'", ""), "but for a column's name"
    for log in (small.home / "postgres").rglob("log*"):
        if log.is_file():
            assert SECRET not in log.read_text(encoding="utf-8", errors="replace"), log
