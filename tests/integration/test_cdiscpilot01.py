"""The CDISC pilot on real extracts, against published SDTM and the counts of its published data.

Outside sources: SDTM DM, EX and DS as published by the pharmaverse (`expected/*.parquet` beside the extracts), and
counts of the published SDTM (records, flags, indicators) that were taken from it, not from Cairn.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.reference import Published
from transforms.study import Study
from transforms.trace import Tracer

RECORDS = {
    "DM": 306,
    "EX": 591,
    "DS": 850,
    "AE": 1191,
    "SV": 3559,
    "LB": 59_580,
    "QS": 121_749,
    "VS": 29_635,
    "TA": 8,
    "TE": 7,
    "TS": 59,
    "TV": 21,
}
SCREEN_FAILURES = 52


@pytest.fixture(scope="module")
def snapshot(pilot_run: Published) -> Path:
    return pilot_run.report.path


def read(snapshot: Path, name: str) -> pd.DataFrame:
    return pq.read_table(snapshot / "sdtm" / f"{name.lower()}.parquet").to_pandas()


def plain(values: pd.Series) -> pd.Series:
    """Values as objects that compare: numbers as floats, missing as None."""
    return values.astype(object).map(
        lambda one: None if pd.isna(one) else float(one) if isinstance(one, int | float | np.number) else str(one)
    )


@pytest.mark.parametrize(("name", "records"), RECORDS.items())
def test_record_counts_are_the_published_ones(snapshot: Path, name: str, records: int) -> None:
    assert len(read(snapshot, name)) == records


def test_the_study_starts_with_the_first_visit_of_a_randomised_subject(snapshot: Path) -> None:
    """Subject 716-1024, placebo: Screening 1 on 2012-07-06, read in visits.csv and dm_raw.csv by hand."""
    ts = read(snapshot, "TS").set_index(["TSPARMCD", "TSSEQ"])["TSVAL"]
    assert ts["SSTDTC", 1] == "2012-07-06"
    assert ts["ACTSUB", 1] == "254"
    assert ts["DCUTDTC", 1] == "2015-12-31"


@pytest.mark.parametrize(
    ("name", "keys", "absent", "departures"),
    [
        (
            "DM",
            ["USUBJID"],
            {"BRTHDTC"},
            {"RFPENDTC": 37, "ARM": 52, "ARMCD": 52, "ACTARM": 52, "ACTARMCD": 52},
        ),
        ("EX", ["USUBJID", "EXSEQ"], set(), {}),
        ("DS", ["USUBJID", "DSSEQ"], {"DSSPID"}, {}),
    ],
)
def test_every_published_value_is_reproduced(
    snapshot: Path, pilot_raw: Path, name: str, keys: list[str], absent: set[str], departures: dict[str, int]
) -> None:
    published = pd.read_parquet(pilot_raw.parent / "expected" / f"{name.lower()}.parquet").apply(plain)
    ours = read(snapshot, name).apply(plain)
    assert set(published.columns) - set(ours.columns) == absent
    both = published.merge(ours, on=keys, how="outer", suffixes=("", "_ours"), indicator=True)
    assert (both["_merge"] == "both").all()
    compared = [column for column in published.columns if column not in absent and column not in keys]
    differing = {
        column: sum(
            (mine != theirs) and not (pd.isna(mine) and pd.isna(theirs))
            for mine, theirs in zip(both[f"{column}_ours"], both[column], strict=True)
        )
        for column in compared
    }
    assert {column: count for column, count in differing.items() if count} == departures


def test_the_departures_are_screen_failures_only(snapshot: Path, pilot_raw: Path) -> None:
    """SDTMIG 3.4: planned and actual arm are null, and ARMNRS says why."""
    dm = read(snapshot, "DM")
    failures = dm[dm["ARMNRS"] == "SCREEN FAILURE"]
    assert len(failures) == SCREEN_FAILURES
    assert failures[["ARM", "ARMCD", "ACTARM", "ACTARMCD", "RFSTDTC", "RFENDTC"]].isna().all().all()
    published = pd.read_parquet(pilot_raw.parent / "expected" / "dm.parquet")
    both = dm.merge(published[["USUBJID", "RFPENDTC"]], on="USUBJID", suffixes=("", "_published"))
    differing = both[both["RFPENDTC"] != both["RFPENDTC_published"]]
    assert set(differing["USUBJID"]) <= set(failures["USUBJID"])
    assert (differing["RFPENDTC"] < differing["RFPENDTC_published"]).all()


@pytest.mark.parametrize(
    ("name", "last_before_exposure", "baseline", "both"),
    [("VS", 3048, 2783, 2783), ("LB", 9411, 9233, 8548), ("QS", 26_686, 21_867, 21_860)],
)
def test_flags_agree_with_the_published_counts(
    snapshot: Path, name: str, last_before_exposure: int, baseline: int, both: int
) -> None:
    frame = read(snapshot, name)
    last, base = frame[f"{name}LOBXFL"] == "Y", frame[f"{name}BLFL"] == "Y"
    assert (int(last.sum()), int(base.sum()), int((last & base).sum())) == (last_before_exposure, baseline, both)


def test_adverse_event_dates_stay_as_precise_as_collected(snapshot: Path) -> None:
    start = read(snapshot, "AE")["AESTDTC"]
    assert start.dropna().str.len().value_counts().to_dict() == {10: 1165, 4: 11}
    assert int(start.isna().sum()) == 15
    findings = pq.read_table(snapshot / "findings.parquet").to_pandas().set_index(["rule", "variable"])
    assert findings.loc[("partial_date", "IT.AESTDAT"), "n_records"] == 11
    assert findings.loc[("required_value_missing", "IT.AESTDAT"), "n_records"] == 15


def test_the_two_equal_rows_stay_and_are_a_finding(snapshot: Path) -> None:
    findings = pq.read_table(snapshot / "findings.parquet").to_pandas()
    equal = findings[findings["rule"] == "equal_rows_kept"]
    assert equal["dataset"].tolist() == ["ae_raw"]
    assert [list(place["lines"]) for place in equal["places"].iloc[0]] == [[560, 561]]


def test_laboratory_results_keep_their_sign_and_are_standardised_unrounded(snapshot: Path) -> None:
    lb = read(snapshot, "LB")
    censored = lb[lb["LBORRES"].str.startswith("<")]
    assert censored.groupby("LBTESTCD")["LBSTRESC"].unique().map(list).to_dict() == {
        "BILI": ["<3.42"],
        "GLUC": ["<2.2204"],
    }
    assert censored["LBSTRESN"].isna().all()
    assert censored.groupby("LBTESTCD")["LBNRIND"].first().fillna("").to_dict() == {"BILI": "", "GLUC": "LOW"}
    # Against a table of the published units: 58,700 numeric results.
    assert int(lb["LBSTRESN"].notna().sum()) == 58_700
    creatinine = lb[lb["LBTESTCD"] == "CREAT"]
    assert np.allclose(creatinine["LBSTRESN"], creatinine["LBORRES"].astype(float) * 88.4)


def test_vital_signs_have_the_published_units(snapshot: Path) -> None:
    vs = read(snapshot, "VS")
    counts = vs.groupby(["VSTESTCD", "VSORRESU"]).size()
    assert counts["HEIGHT"].to_dict() == {"in": 245, "cm": 9}
    assert counts["WEIGHT"].to_dict() == {"LB": 2049, "kg": 1}
    assert counts["TEMP"].to_dict() == {"F": 2713, "C": 7}
    findings = pq.read_table(snapshot / "findings.parquet").to_pandas()
    assert set(findings.loc[findings["dataset"] == "VS", "rule"]) == {"unit_resolved_by_rule"}


def test_truncated_totals_are_recomputed_and_said_so(snapshot: Path) -> None:
    """The published totals 52.830, 20.571 and 14.625 stand truncated in the extract; 24 totals in all do."""
    qs = read(snapshot, "QS")
    fractional = set(np.round(qs.loc[qs["QSTESTCD"].isin(["ACTOT", "NPTOT"]), "QSSTRESN"], 3))
    assert {52.830, 20.571, 14.625} <= fractional
    findings = pq.read_table(snapshot / "findings.parquet").to_pandas()
    assert findings.loc[findings["rule"] == "total_recomputed", "n_records"].tolist() == [24]
    assert int((qs["QSSTAT"] == "NOT DONE").sum()) == 25


def test_row_accounts_close(snapshot: Path, pilot_raw: Path) -> None:
    accounts = pq.read_table(snapshot / "accounts.parquet").to_pandas()
    staging = accounts[accounts["stage"] == "staging"]
    for path in pilot_raw.glob("*.csv"):
        lines = path.read_bytes().count(b"\n") - 1
        assert staging.loc[staging["file"] == path.name, "rows"].sum() == lines
    mapping = accounts[accounts["stage"] == "mapping"]
    accepted = staging[staging["outcome"] == "accepted"].groupby("source")["rows"].sum()
    assert mapping.groupby("source")["rows"].sum().to_dict() == accepted.to_dict()
    none = mapping[mapping["outcome"] == "none"][["source", "rule", "rows"]].to_numpy().tolist()
    assert none == [["vs_raw", "no_result", 3]]


def test_any_value_leads_to_raw_or_to_the_specification(snapshot: Path, pilot_raw: Path) -> None:
    """500 values, stratified by dataset and variable; collected ones stand in the raw line they lead to."""
    chance = random.Random(20221130)
    strata = []
    for path in sorted((snapshot / "sdtm").glob("*.parquet")):
        table = pq.read_table(path)
        strata += [
            (path.stem.upper(), name, table[name]) for name in table.column_names if table[name].null_count < len(table)
        ]
    lines = {path.name: path.read_text(encoding="utf-8").split("\n") for path in pilot_raw.glob("*.csv")}
    tracer, walked, shown = Tracer(snapshot), 0, 0
    folder = Study.load("cdiscpilot01").folder
    while walked < 500:
        dataset, variable, column = strata[walked % len(strata)]
        records = [row for row, value in enumerate(column.is_valid().to_pylist(), start=1) if value]
        step = tracer.trace(dataset, chance.choice(records), variable)
        leaves = step.all_leaves()
        assert leaves, f"{dataset}.{variable} leads nowhere"
        for leaf in leaves:
            if leaf.kind == "raw":
                assert 2 <= (leaf.line or 0) <= len(lines[leaf.file]) - 1
            else:
                assert leaf.kind == "specification"
                assert (folder / leaf.file).is_file()
        if step.rule.startswith("assign_no_ct") and step.leaves[0].kind == "raw":
            raw = lines[step.leaves[0].file][(step.leaves[0].line or 0) - 1].lower()
            assert str(step.value).lower() in raw, f"{dataset}.{variable} is not in the line it leads to"
            shown += 1
        walked += 1
    assert shown > 50
