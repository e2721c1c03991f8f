"""The reference study on synthetic extracts, against the simulated truth, which the transforms never see.

The truth tables are written by synthetic/ from its world of subjects, not by the engine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import synthetic
from tests.mapped import map_landing
from tests.reference import Extracts, Published
from transforms import pipeline
from transforms.study import Study
from transforms.trace import Tracer


@dataclass(frozen=True)
class Run:
    snapshot: Path
    landing: Path
    truth: Path

    def sdtm(self, name: str) -> pd.DataFrame:
        return pq.read_table(self.snapshot / "sdtm" / f"{name.lower()}.parquet").to_pandas()

    def told(self, name: str) -> pd.DataFrame:
        return told_in(self.truth, name)


def told_in(truth: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(truth / f"{name}.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def run(reference: Published, extracts: Extracts) -> Run:
    return Run(reference.report.path, extracts.landing, extracts.truth)


def subject(usubjid: pd.Series) -> pd.Series:
    return usubjid.str.removeprefix("UCMSC-DAC-01-01-")


def test_clean_extracts_raise_no_finding_to_act_on(run: Run) -> None:
    findings = pq.read_table(run.snapshot / "findings.parquet").to_pandas()
    assert findings.loc[findings["severity"] != "information"].empty, findings[["rule", "dataset", "variable"]]


def test_subjects_arms_and_dates(run: Run) -> None:
    dm = run.sdtm("DM").assign(subj=lambda frame: subject(frame["USUBJID"])).set_index("subj").fillna("")
    told = run.told("subjects").set_index("subj")
    assert set(dm.index) == set(told.index)
    dm = dm.reindex(told.index)
    arms = {"C1": "UC05", "C2": "UC10", "C3": "UC20", "": ""}
    assert (dm["ARMCD"] == told["cohort"].map(arms)).all()
    assert (dm["ACTARMCD"] == dm["ARMCD"].where(told["dosed"] == "Y", "")).all()
    assert ((dm["ARMNRS"] == "SCREEN FAILURE") == (told["screen_failure_reason"] != "")).all()
    assert (dm["RFXSTDTC"] == told["first_dose"]).all()
    assert (dm["DTHDTC"] == told["death_date"]).all()
    assert (dm["RFICDTC"].str[:10] == told["consent"]).all()
    ended = told["eos_date"].where(told["dosed"] == "Y", "")
    assert (dm["RFENDTC"] == ended).all()
    assert "Screen Failure" not in set(dm["ARM"])


def test_doses_are_cells_over_weight(run: Run) -> None:
    told = run.told("doses").sort_values(["subj", "start"]).reset_index(drop=True)
    ex = run.sdtm("EX").sort_values(["USUBJID", "EXSTDTC"]).reset_index(drop=True)
    assert (subject(ex["USUBJID"]) == told["subj"]).all()
    assert (ex["EXSTDTC"] == told["start"]).all()
    assert (ex["EXDOSE"] - told["dose_per_kg"].astype(float)).abs().max() < 1e-9
    ec = run.sdtm("EC")
    assert (ec.groupby("ECMOOD").size() == 108).all()
    not_given = ec[(ec["ECMOOD"] == "PERFORMED") & (ec["ECOCCUR"] == "N")]
    assert len(not_given) == 108 - len(ex)
    assert not_given["ECDOSE"].isna().all(), "a dose that was not given is missing, not 0"
    assert not_given["ECREASOC"].notna().all()


def test_each_row_of_each_form_is_a_record_or_under_a_rule(run: Run) -> None:
    accounts = pq.read_table(run.snapshot / "accounts.parquet").to_pandas()
    staging, mapping = accounts[accounts["stage"] == "staging"], accounts[accounts["stage"] == "mapping"]
    told = run.told("form_counts").set_index("file")["rows"].astype(int)
    assert staging.groupby("file")["rows"].sum().to_dict() == told.to_dict()
    accepted = staging[staging["outcome"] == "accepted"].groupby("source")["rows"].sum()
    for (source, _), rows in mapping.groupby(["source", "dataset"])["rows"].sum().items():
        assert rows == accepted[source]
    assert len(run.sdtm("LB")) == told[next(name for name in told.index if name.startswith("LIS"))]


def test_laboratory_reaches_the_subject_without_the_hospital_number(run: Run) -> None:
    staged = pq.read_table(run.snapshot / "staged" / "lis.parquet")
    assert not {"病历号", "门诊住院号", "姓名(脱敏)"} & set(staged.column_names)
    numbers = pd.read_csv(next(run.landing.glob("UCMSC_DM_*.csv")), dtype=str)["mrn"]
    for path in run.snapshot.rglob("*.parquet"):
        for column in pq.read_table(path).columns:
            if str(column.type) == "string":
                assert not set(numbers) & set(column.unique().to_pylist()), path.name
    lb = run.sdtm("LB")
    assert lb["VISITNUM"].notna().all()
    censored = lb[lb["LBORRES"].str.startswith("<")]
    assert len(censored)
    assert censored["LBSTRESC"].str.startswith("<").all()
    assert (censored["LBSTRESC"].str[1:].astype(float) == censored["LBORRES"].str[1:].astype(float)).all()
    assert censored["LBSTRESN"].isna().all()
    assert ("<" + censored["LBLLOD"] == censored["LBORRES"]).all()


def test_no_flag_after_the_first_infusion(run: Run) -> None:
    start = run.sdtm("DM").set_index("USUBJID")["RFXSTDTC"]
    for name in ("LB", "VS"):
        frame = run.sdtm(name)
        flagged = frame[frame[f"{name}LOBXFL"] == "Y"]
        assert (flagged[f"{name}DTC"] < flagged["USUBJID"].map(start)).all()
        assert not flagged.duplicated(["USUBJID", f"{name}TESTCD"]).any()


def test_missed_visits_are_visible(run: Run) -> None:
    sv = run.sdtm("SV")
    missed = sv[sv["SVOCCUR"] == "N"]
    assert len(missed)
    assert missed["SVREASOC"].notna().all()
    assert missed["SVSTDTC"].isna().all()
    assert sv.loc[sv["VISITNUM"] >= 7, "VISITDY"].isna().all(), "visits after the last dose have no planned day"


def test_placement_moves_instruments_and_changes_no_value(run: Run, tmp_path: Path) -> None:
    literal = pipeline.run(Study.load("ucmsc_dac", placement="qs_literal"), landing=run.landing, home=tmp_path).path
    assert not (literal / "sdtm" / "rs.parquet").exists()
    rs = run.sdtm("RS").rename(columns=lambda name: name.replace("RS", "QS", 1) if name.startswith("RS") else name)
    # The code of a scale that was not done is the dataset's name with ALL.
    rs["QSTESTCD"] = rs["QSTESTCD"].astype(object).replace("RSALL", "QSALL")
    both = pd.concat([rs, run.sdtm("QS")])
    moved = pq.read_table(literal / "sdtm" / "qs.parquet").to_pandas()
    shared = [name for name in moved.columns if name in both.columns and name not in {"QSSEQ", "DOMAIN"}]
    keys = ["USUBJID", "QSCAT", "QSTESTCD", "VISITNUM"]
    one = both[shared].sort_values(keys).reset_index(drop=True).astype(object)
    two = moved[shared].sort_values(keys).reset_index(drop=True).astype(object)
    assert one.fillna("").equals(two.fillna(""))
    for path in sorted((run.snapshot / "adam").glob("*.parquet")):
        ours, theirs = pq.read_table(path), pq.read_table(literal / "adam" / path.name)
        assert ours.column_names == theirs.column_names
        assert ours.num_rows == theirs.num_rows
        for name in set(ours.column_names) - {"SRCDOM", "SRCVAR", "SRCSEQ"}:
            assert ours[name].equals(theirs[name]), f"{path.stem}.{name} depends on the placement"
    assert set(pq.read_table(literal / "adam" / "adeff.parquet")["SRCDOM"].to_pylist()) == {"LB", "QS"}
    assert set(rs["QSCAT"]) == {
        "CHILD-PUGH CLASSIFICATION",
        "KPS SCALE",
        "MELD",
        "WEST HAVEN HEPATIC ENCEPHALOPATHY GRADE",
    }


@pytest.mark.parametrize("kind", ["sdtm", "adam"])
def test_any_value_leads_to_raw_or_to_the_specification(run: Run, kind: str) -> None:
    chance = random.Random(20220613)
    tracer = Tracer(run.snapshot)
    folder = Study.load("ucmsc_dac").folder
    files = {path.name for path in run.landing.iterdir()}
    strata = []
    for path in sorted((run.snapshot / kind).glob("*.parquet")):
        table = pq.read_table(path)
        filled = [name for name in table.column_names if table[name].null_count < len(table)]
        strata += [(path.stem.upper(), name, table[name]) for name in filled]
    for number in range(500):
        dataset, variable, column = strata[number % len(strata)]
        records = [row for row, there in enumerate(column.is_valid().to_pylist(), start=1) if there]
        leaves = tracer.trace(dataset, chance.choice(records), variable).all_leaves()
        assert leaves, f"{dataset}.{variable} leads nowhere"
        for leaf in leaves:
            there = leaf.file in files if leaf.kind == "raw" else (folder / leaf.file).is_file()
            assert there, f"{dataset}.{variable} leads to {leaf}"


def test_a_death_is_known_before_the_death_form_has_come(tmp_path: Path) -> None:
    """At this cut-off one subject has an end-of-study page that says DEATH and no death form yet."""
    synthetic.generate(tmp_path / "landing", truth=tmp_path / "truth", cut_off=date(2023, 11, 2))
    told = told_in(tmp_path / "truth", "subjects")
    died = told[told["eos_reason"] == "DEATH"].set_index("subj")["eos_date"]
    assert len(died) > len(told_in(tmp_path / "truth", "deaths")), "otherwise this cut-off shows nothing"
    # study.yml states no cut-off, so it is the day of the extracts.
    dm = map_landing(Study.load("ucmsc_dac"), tmp_path / "landing", tmp_path / "home")["DM"]
    assert dm.set_index(subject(dm["USUBJID"]))["DTHDTC"].dropna().to_dict() == died.to_dict()
    assert set(dm.loc[dm["DTHDTC"].notna(), "DTHFL"]) == {"Y"}
