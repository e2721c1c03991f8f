"""The gate of the reference study: clean at every cut, outside of it found, decided on and packed for the board.

Expected counts come from the truth that the generator writes beside the extracts, and from the protocol's 21 days.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest

from synthetic.faults import Faults, apply_faults
from tests.reference import Extracts, Published
from transforms import acts, pipeline, safety_package, snapshot
from transforms.core import text
from transforms.deliveries import stage_all
from transforms.errors import UsageError
from transforms.gate.assess import assess
from transforms.ingest import ingest
from transforms.pipeline import Home
from transforms.sdtm.engine import map_study
from transforms.study import Study
from transforms.trace import Tracer
from transforms.warehouse.postgres import Database, connect_url

CUTS = ("2022-11-10", "2023-04-20", "2024-01-31", "2025-01-31")
ARMS = {"C1": "UC05", "C2": "UC10", "C3": "UC20"}
BY = {"by": "Dr B. Chair", "reason": "minutes of the first meeting"}


@dataclass(frozen=True)
class Cut:
    """The frames of one cut, as the gate reads them."""

    on: date
    study: Study
    frames: Mapping[str, pd.DataFrame]
    form: tuple[pd.DataFrame, pd.Series]
    truth: Path

    def assessed(self, **changed: pd.DataFrame) -> Any:
        form = (changed.pop("form"), self.form[1]) if "form" in changed else self.form
        return assess(self.study, {**self.frames, **changed}, form, [], self.on)

    def told(self, **changed: pd.DataFrame) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self.assessed(**changed).breaches:
            found[one.rule] = found.get(one.rule, 0) + len(one.rows)
        return found

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.truth / f"{name}.csv").open(encoding="utf-8") as stream:
            return list(csv.DictReader(stream))


def cut_of(extracts: Extracts, home: Path, cut: str) -> Cut:
    study = Study.load("ucmsc_dac")
    where = Home(home, study.name)
    taken = ingest(study, extracts.landing, where.raw)
    staged, _, _ = stage_all(study, where.raw, cut, where.raw.received(), taken.extracts, {})
    sources = {name: snapshot.staged_source(snapshot.staged_table(study, one)) for name, one in staged.items()}
    mapped = map_study(study, sources, ["DM", "EX", "AE"], cut_off=cut)
    frames = {name: mapped.datasets[name].frame for name in ("DM", "EX", "AE", "SUPPAE")}
    form = sources["dsmb"]
    return Cut(date.fromisoformat(cut), study, frames, (form.frame, form.subjects), extracts.truth)


@pytest.fixture(scope="module")
def last(extracts: Extracts, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    return cut_of(extracts, tmp_path_factory.mktemp("last"), CUTS[-1])


@pytest.mark.parametrize("cut", CUTS)
def test_clean_extracts_keep_the_gate_at_every_cut(
    cut: str, last: Cut, series: Mapping[str, Extracts], tmp_path: Path
) -> None:
    one = last if cut == CUTS[-1] else cut_of(series[f"S{CUTS.index(cut) + 1}"], tmp_path, cut)
    assessed = one.assessed()
    assert [(breach.rule, breach.cause) for breach in assessed.breaches] == []
    dosed = [row for row in one.rows("subjects") if row["dosed"] == "Y"]
    decisions = {row["cohort"]: row for row in one.rows("dsmb_decisions") if row["scope"] == "COHORT"}
    for row in assessed.tables["gate"].to_pylist():
        cohort = next(name for name, arm in ARMS.items() if arm == row["cohort"])
        own = [date.fromisoformat(each["first_dose"][:10]) for each in dosed if each["cohort"] == cohort]
        over = [day for day in own if day + timedelta(21) <= one.on]
        assert (row["n_dosed"], row["n_observed"], row["n_evaluable"]) == (len(own), len(over), len(over))
        assert row["n_dlt"] == sum(each["cohort"] == cohort for each in one.rows("dlt"))
        assert row["ready"] == ("Y" if len(over) == 12 else "N")
        assert row["ready_since"] == (max(own) + timedelta(21) if len(over) == 12 else None)
        recorded = decisions.get(cohort)
        assert row["decision"] == (recorded["outcome"] if recorded else None)
        assert row["opens_next"] == ("Y" if recorded and recorded["outcome"] == "ESCALATE" else "N")
    assert assessed.tables["gate_decisions"].num_rows == len(one.rows("dsmb_decisions"))
    limiting = {f"UCMSC-DAC-01-01-{row['subj']}" for row in one.rows("dlt")}
    assert {row["usubjid"] for row in assessed.tables["gate_subjects"].to_pylist() if row["dlt"] == "Y"} == limiting


def test_a_drop_that_breaks_the_gate_raises_what_its_faults_must(
    series: Mapping[str, Extracts], tmp_path: Path
) -> None:
    faults = Faults.read("gate_violation")
    landing = Path(shutil.copytree(series["S2"].landing, tmp_path / "landing"))
    apply_faults(faults, landing)
    one = cut_of(Extracts(landing, series["S2"].truth), tmp_path / "home", CUTS[1])
    found = one.told()
    must = {raised.rule for fault in faults.faults for raised in fault.must}
    may = {rule for fault in faults.faults for rule in fault.may}
    assert must == {"gate_not_observed", "gate_not_opened"}
    assert must <= set(found) <= must | may
    # The one dose moved lies in the observation of the first cohort; those after it lack the decision only.
    dosed = sum(row["cohort"] == "C2" and row["dosed"] == "Y" for row in one.rows("subjects"))
    assert (found["gate_not_observed"], found["gate_not_opened"]) == (1, dosed - 1)


def changed(
    data: pd.DataFrame, where: Mapping[str, str], name: str, value: Callable[[Any], Any] | Any, count: int = 1
) -> pd.DataFrame:
    """The frame with one variable changed on the first rows that hold `where`."""
    mask = pd.Series(True, index=data.index)
    for column, wanted in where.items():
        mask &= data[column].astype(object) == wanted
    rows = mask.to_numpy().nonzero()[0][:count]
    assert len(rows) == count, where
    own = data[name].astype(object).where(data[name].notna(), None)
    for row in rows:
        own.iloc[row] = value(own.iloc[row]) if callable(value) else value
    result = data.copy()
    numeric = pd.api.types.is_numeric_dtype(data[name].dtype)
    result[name] = own.astype(float) if numeric else text.from_values(own)
    return result


def subject_of(one: Cut, cohort: str, doses: int = 1) -> str:
    """A subject of a cohort with some number of doses, from the truth."""
    rows = [row for row in one.rows("subjects") if row["cohort"] == cohort and row["n_doses"] == str(doses)]
    return f"UCMSC-DAC-01-01-{rows[0]['subj']}"


def test_a_cohort_without_the_decision_that_opens_it(last: Cut) -> None:
    form = last.form[0]
    for outcome in ("HOLD", "REPEAT"):
        told = last.told(form=changed(form, {"record_id": "DSMB-C1-01"}, "outcome", outcome))
        assert told.pop("gate_halted", 0) == 0 or outcome == "HOLD"
        assert told == {"gate_not_opened": 12}
    assert last.told(form=changed(form, {"record_id": "DSMB-C1-01"}, "meetdat", "2022-11-10")) == {
        "gate_not_opened": 12
    }


def test_a_first_dose_before_the_cohort_below_was_observed(last: Cut) -> None:
    subject = subject_of(last, "C2", 3)
    ex = changed(
        last.frames["EX"], {"USUBJID": subject, "EXSCAT": "INITIAL ADMINISTRATION"}, "EXSTDTC", "2022-11-09T09:00"
    )
    assert last.told(EX=ex) == {"gate_not_observed": 1}


def test_a_thirteenth_subject(last: Cut) -> None:
    subject = subject_of(last, "C2", 3)
    told = last.told(DM=changed(last.frames["DM"], {"USUBJID": subject}, "ARMCD", "UC05"))
    # Its doses are those of the other cohort, which has a subject less and so opened nothing; the board counted 12.
    assert told == {
        "gate_cohort_full": 1,
        "gate_dose": 3,
        "gate_not_observed": 12,
        "gate_counts_differ": told["gate_counts_differ"],
    }
    assert told["gate_counts_differ"] >= 1


def test_a_repeat_dose_outside_the_gate(last: Cut) -> None:
    subject = subject_of(last, "C1", 3)
    number = subject[-4:]
    first = next(row["first_dose"] for row in last.rows("subjects") if row["subj"] == number)
    early = (date.fromisoformat(first[:10]) + timedelta(21)).isoformat()
    ex = last.frames["EX"]
    repeat = {"USUBJID": subject, "EXSCAT": "REPEAT ADMINISTRATION"}
    assert last.told(EX=changed(ex, repeat, "EXSTDTC", f"{early}T09:00")) == {"gate_repeat_early": 1}
    held = changed(last.form[0], {"record_id": f"DSMB-{number}-01"}, "outcome", "HOLD")
    assert last.told(form=held) == {"gate_repeat_not_cleared": 2}


def test_a_dose_above_that_of_the_cohort(last: Cut) -> None:
    subject = subject_of(last, "C3", 3)
    assert last.told(EX=changed(last.frames["EX"], {"USUBJID": subject}, "EXDOSE", 2.21)) == {"gate_dose": 1}


def test_a_toxicity_that_begins_on_day_22_after_the_first_dose(last: Cut) -> None:
    one = last.rows("dlt")[0]
    subject = f"UCMSC-DAC-01-01-{one['subj']}"
    first = next(row["first_dose"] for row in last.rows("subjects") if row["subj"] == one["subj"])
    onset = (date.fromisoformat(first[:10]) + timedelta(22)).isoformat()
    ae = changed(last.frames["AE"], {"USUBJID": subject, "AEDECOD": one["ctcae_term"]}, "AESTDTC", onset)
    told = last.told(AE=ae)
    assert told.pop("gate_dlt_outside_window") == 1
    assert set(told) == {"gate_counts_differ"}  # the board counted it


@pytest.mark.parametrize(("column", "value"), [("n_observed21", "11"), ("n_dlt", "2")])
def test_other_counts_on_the_form_than_in_the_data(last: Cut, column: str, value: str) -> None:
    form = changed(last.form[0], {"record_id": "DSMB-C2-01"}, column, value)
    found = last.assessed(form=form).breaches
    assert [(one.rule, one.severity.value, one.cause) for one in found] == [
        ("gate_counts_differ", "answer", "DSMB-C2-01")
    ]


@pytest.fixture(scope="module")
def interim(first_cut: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Study, Path]:
    """The first cut, published: cohort 1 is ready, and nothing is decided on it."""
    study = Study.load("ucmsc_dac")
    home = first_cut.home_in(tmp_path_factory.mktemp("interim") / "home")
    return Home(home, study.name), study, first_cut.landing


def decide(interim: tuple[Home, Study, Path], **given: Any) -> Any:
    where, study, _ = interim
    return acts.decide_gate(
        where, study, **{"cohort": "UC05", "outcome": "ESCALATE", "decided_on": "2022-11-18"} | BY | given
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cohort": "UC40"}, "no dose cohort 'UC40'. One of: UC05, UC10, UC20"),
        ({"outcome": "GO"}, "'GO' is no outcome for a cohort"),
        ({"outcome": "ESCALATE", "subject": "1001"}, "'ESCALATE' is no outcome for a subject"),
        ({"decided_on": "18.11.2022"}, "is no date"),
        ({"decided_on": "2022-11-09"}, "before the cut-off 2022-11-10"),
        ({"decided_on": "2022-11-10"}, "became ready on 2022-11-10"),
        ({"cohort": "UC10"}, "waits for: 12 of 12 subjects still to be dosed"),
        ({"outcome": "REPEAT", "subject": "1999"}, "UC05 has no subject 1999"),
        ({"snapshot_id": "none"}, "has no snapshot none"),
        ({"by": " "}, "needs a person"),
    ],
)
def test_a_decision_that_cannot_be_one_is_refused(
    interim: tuple[Home, Study, Path], given: dict[str, str], said: str
) -> None:
    before = len(interim[0].decisions.entries())
    with pytest.raises(UsageError, match=said):
        decide(interim, **given)
    assert len(interim[0].decisions.entries()) == before


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_package_is_whole_the_cohorts_own_and_the_same_every_time(
    interim: tuple[Home, Study, Path], tmp_path: Path
) -> None:
    where, study, _ = interim
    made = safety_package.write_package(where, study, "UC05")
    assert made.path == where.folder / "exports" / "ucmsc_dac" / "dsmb" / f"UC05-{made.snapshot_id}"
    manifest = json.loads((made.path / "manifest.json").read_text(encoding="utf-8"))
    content = hashes(made.path)
    content.pop("manifest.json")
    assert manifest["files"] == content
    assert (manifest["snapshot_id"], manifest["cut_off"], manifest["preview"]) == (made.snapshot_id, CUTS[0], False)
    members = set(pq.read_table(made.path / "gate" / "gate_subjects.parquet")["usubjid"].to_pylist())
    assert len(members) == 12
    for name in ("dm", "ex", "ec", "ae", "suppae", "lb", "vs", "ds"):
        assert set(pq.read_table(made.path / "sdtm" / f"{name}.parquet")["USUBJID"].to_pylist()) <= members
    whole = pq.read_table(where.snapshots.path(made.snapshot_id) / "sdtm" / "ex.parquet")
    assert pq.read_table(made.path / "sdtm" / "ex.parquet").num_rows == whole.num_rows
    page = (made.path / "safety.html").read_text(encoding="utf-8")
    assert "SYNTHETIC - NOT PATIENT DATA" in page
    assert "PREVIEW" not in page
    assert all(member in page for member in members)
    again = safety_package.write_package(where, study, "UC05", folder=tmp_path / "again")
    assert hashes(again.path) == hashes(made.path)


def test_rows_of_the_gate_lead_to_the_records_they_are_assessed_from(interim: tuple[Home, Study, Path]) -> None:
    """The doses and the onset found by the way back are those that EX and AE hold of the subject."""
    path = interim[0].snapshots.path(interim[0].snapshots.current_id() or "")
    tracer = Tracer(path)
    subjects = pq.read_table(path / "results" / "gate_subjects.parquet").to_pandas()
    ex = pq.read_table(path / "sdtm" / "ex.parquet").to_pandas()
    dosed = subjects[subjects["dosed"] == "Y"].iloc[0]
    (record,) = tracer.find("GATE_SUBJECTS", {"usubjid": dosed["usubjid"]})
    step = tracer.trace("GATE_SUBJECTS", record, "n_doses")
    starts = sorted(ex.loc[ex["USUBJID"] == dosed["usubjid"], "EXSTDTC"])
    assert sorted(one.value or "" for one in step.inputs) == starts
    assert len(starts) == dosed["n_doses"] and step.specification == "gate.yml"
    assert {leaf.kind for leaf in step.all_leaves()} == {"raw"}
    (cohort,) = tracer.find("GATE", {"cohort": dosed["cohort"]})
    assigned = tracer.trace("GATE", cohort, "n_assigned").inputs
    assert len(assigned) == (subjects["cohort"] == dosed["cohort"]).sum()
    decided = tracer.trace("GATE", cohort, "decision")
    assert [(leaf.kind, leaf.file) for leaf in decided.all_leaves()] == [("specification", "gate.yml")]


def test_a_cohort_that_is_not_ready_has_a_preview_only(interim: tuple[Home, Study, Path], tmp_path: Path) -> None:
    where, study, _ = interim
    with pytest.raises(UsageError, match=r"UC10 is not ready .* waits for: 12 of 12 .* --preview"):
        safety_package.write_package(where, study, "UC10")
    made = safety_package.write_package(where, study, "UC10", preview=True)
    assert made.path.name.endswith("-preview")
    assert "PREVIEW" in (made.path / "safety.html").read_text(encoding="utf-8")
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="holds something else"):
        safety_package.write_package(where, study, "UC05", folder=tmp_path)
    assert (tmp_path / "mine.txt").is_file()


def test_dosing_outside_the_gate_and_the_decision_are_in_the_next_snapshot(
    interim: tuple[Home, Study, Path], tmp_path: Path
) -> None:
    """One repeat dose is moved to ten days before its decision in the extract; the board decides on cohort 1."""
    where, study, delivered = interim
    based_on = where.snapshots.current_id()
    recorded = decide(interim)
    assert recorded.target["snapshot_id"] == based_on
    assert (recorded.target["n_observed"], recorded.target["n_dlt"]) == (12, 0)
    with Database.open(where.folder) as database:
        pipeline.run(study, landing=delivered, home=where.folder, database=database)
        with psycopg.connect(connect_url(where.folder, "reader")) as connection:
            said = connection.execute(
                "SELECT cohort, meeting_dt, outcome, n_observed, n_dlt, recorded_in, signed_by, reason, based_on "
                "FROM ops.dsmb_decision WHERE scope = 'COHORT'"
            ).fetchall()
            ready = connection.execute(
                "SELECT cohort, ready, decided_by FROM ucmsc_dac_results.gate ORDER BY 1"
            ).fetchall()
    assert said == [
        ("UC05", date(2022, 11, 18), "ESCALATE", 12, 0, "log", BY["by"], BY["reason"], based_on),
    ]
    assert ready == [("UC05", "Y", BY["by"]), ("UC10", "N", None), ("UC20", "N", None)]

    landing = tmp_path / "landing"
    shutil.copytree(delivered, landing)
    (landing / "manifest.json").unlink()
    path = next(landing.glob("UCMSC_DOSE_*"))
    path.write_bytes(
        path.read_bytes().replace(b"2022-07-18 09:35,2022-07-18 10:38", b"2022-07-08 09:35,2022-07-08 10:38")
    )
    report = pipeline.run(study, landing=landing, home=tmp_path / "home")
    found = critical(report.path)
    # Ten days earlier the lot was not released yet either.
    assert [(one["rule"], one["dataset"]) for one in found] == [
        ("gate_repeat_early", "EX"),
        ("dose.lot_not_released", "dose"),
    ]
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert [(one["file"], [lines[line - 1].split(",")[1] for line in one["lines"]]) for one in found[0]["places"]] == [
        (path.name, ["DOSE-1001-02"])
    ]


def critical(path: Path) -> list[dict[str, Any]]:
    rows: Iterable[dict[str, Any]] = pq.read_table(path / "findings.parquet").to_pylist()
    return [row for row in rows if row["severity"] == "critical"]
