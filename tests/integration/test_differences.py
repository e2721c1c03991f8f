"""cairn diff: what differs between two snapshots and what caused it, where one and where several inputs changed.

Expected causes follow from what each test changes; none is taken from the engine's own answer.
"""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.small_study import EXTRACTS, SmallStudy
from transforms import acts, operations, pipeline
from transforms.algorithms.timing import StudyDay
from transforms.cli import app
from transforms.differences import Difference
from transforms.errors import UsageError
from transforms.pipeline import Home, difference

VITALS = EXTRACTS["vitals.csv"]
DOSING = EXTRACTS["dosing.csv"]


def told(small: SmallStudy) -> Difference:
    return difference(Home(small.home, "small"), "previous", "current")


def rows(one: Difference, dataset: str) -> list[dict[str, Any]]:
    return [row for comparison, within in one.select(dataset) for row in one.rows(comparison, within)]


def causes(one: Difference, dataset: str) -> dict[tuple[str, str, str | None], str]:
    """By change, subject's last part with test code, and variable: the cause."""
    return {
        (
            row["change"],
            " ".join(filter(None, [(row["subject"] or "")[-3:], (row["key"] or {}).get(f"{dataset}TESTCD")])),
            row["variable"],
        ): row["cause"]
        for row in rows(one, dataset)
    }


def test_each_value_has_the_input_that_changed_it_where_three_changed_at_once(small: SmallStudy) -> None:
    """Data behind 001's pressure, the factor behind 002's weight, a decision behind 002's released row."""
    small.drop("vitals.csv", VITALS.replace("2024-03-12", "12 March"))
    small.run()
    finding = next(
        row
        for row in operations.finding_list(
            Home(small.home, "small").publications.entries(), (), Home(small.home, "small").snapshots.summary
        )
        if row["rule"] == "unreadable_date"
    )
    acts.release(Home(small.home, "small"), str(finding["finding_id"]), by="A. Person", reason="the date is unknown")
    small.run()
    released = told(small)
    assert list(released.inputs) == ["decisions"]
    assert causes(released, "VS") == {("added", "002 SYSBP", None): "decisions"}

    small.change("tables/vs_units.csv", "0.45359237", "0.45")
    small.drop("dosing_2.csv", "ROW,SUBJ,DRUG,DOSE,START\n1,001,Testol,6,02-Mar-2024 09:30\n")
    small.run()
    both = told(small)
    assert list(both.inputs) == ["data", "specification"]
    assert both.inputs["specification"] == ["tables/vs_units.csv"]
    found = causes(both, "VS")
    assert found.pop(("changed", "002 WEIGHT", "VSSTRESN")) == "specification"
    assert found.pop(("changed", "002 WEIGHT", "VSSTRESC")) == "specification"
    # The reference date of 001 moved with its first dose, and the days of all its records with it.
    assert {key[1][:3] for key in found} == {"001"}
    assert {(key[2], cause) for key, cause in found.items()} == {("VSDY", "data")}
    assert causes(both, "DM") == {("changed", "001", "RFSTDTC"): "data", ("changed", "001", "RFXSTDTC"): "data"}
    [first, _] = rows(both, "DM")
    assert [first[one] for one in ("file_before", "line_before", "file_after", "line_after")] == [
        *("dosing.csv", 2, "dosing_2.csv", 2)
    ]
    exposure = causes(both, "EX")
    assert set(exposure.values()) == {"data"}
    assert ("removed", "001", None) in exposure
    assert ("added", "001", None) in exposure

    against = difference(Home(small.home, "small"), "current", "previous")
    assert causes(against, "VS") == causes(both, "VS")


def test_a_value_that_nothing_explains_names_every_input_that_may_be_the_cause(
    small: SmallStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.run()
    apply = StudyDay.apply

    def late(self: StudyDay, scope: Any) -> Any:
        outcome = apply(self, scope)
        return type(outcome)(outcome.values + 1, outcome.problems, outcome.links)

    monkeypatch.setattr(StudyDay, "apply", late)
    monkeypatch.setattr(pipeline, "CODE", ("transforms",))
    small.drop("vitals.csv", VITALS.replace("60,kg", "61,kg"))
    small.run(as_of="2024-12-30")
    one = told(small)
    assert list(one.inputs) == ["data", "cut-off", "code"]
    found = causes(one, "VS")
    assert found[("changed", "003 WEIGHT", "VSORRES")] == "data"
    assert found[("changed", "001 SYSBP", "VSDY")] == "data or code"
    assert causes(one, "EX") == {("changed", f"00{n}", "EXSTDY"): "data or code" for n in (1, 2, 3)}


def test_a_single_changed_input_is_the_cause_of_everything(small: SmallStudy) -> None:
    small.run()
    small.change("sdtm/ex.yml", "  EXDOSU: {hardcode_ct: mg}\n", "  EXDOSU: {hardcode_ct: g}\n")
    small.change("sdtm/ex.yml", "keys:", "supplemental:\n  EXNOTE: {hardcode_no_ct: x, label: Remark}\nkeys:")
    small.change("sdtm/vs.yml", "  VSDTC:", "  VSPOS: {hardcode_ct: SITTING}\n  VSDTC:")
    small.run()
    one = told(small)
    assert list(one.inputs) == ["specification"]
    assert set(causes(one, "EX").values()) == {"specification"}
    assert rows(one, "VS")[0] | {"cause": None} == {
        **dict.fromkeys(rows(one, "VS")[0]),
        "dataset": "VS",
        "change": "variable added",
        "variable": "VSPOS",
    }
    added = rows(one, "SUPPEX")
    assert [(row["change"], row["cause"]) for row in added] == [("added", "specification")] * 4
    assert added[0]["key"]["QNAM"] == "EXNOTE"


def test_a_held_subject_and_all_that_hangs_on_it(small: SmallStudy) -> None:
    """A subject that leaves a full source takes its records of other datasets along, though their rows stay."""
    small.run()
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("003,11,55,FEMALE,USA\n", ""))
    small.change("tables/visits.csv", "DAY 8", "WEEK 1")
    small.run()
    one = told(small)
    assert causes(one, "DM") == {("removed", "003", None): "data"}
    found = causes(one, "VS")
    assert found[("changed", "001 SYSBP", "VISIT")] == "specification"
    assert {(what, cause) for (what, who, _), cause in found.items() if who.startswith("003")} == {("removed", "data")}


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["diff", *arguments])
    code = getattr(result.exception, "exit_code", None) if result.exception else None
    return (result.exit_code if code is None else code), result.stdout


def test_the_command_line(small: SmallStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("CAIRN_HOME", str(small.home))
    first = small.run().snapshot_id
    small.drop("vitals.csv", VITALS.replace("140,150", "=1,150").replace("=1", "141"))
    second = small.run().snapshot_id
    study = str(small.folder)
    code, text = command(study, first[:6], second[:6])
    assert code == 0
    assert "VSORRES: 140 to 141  data  [vitals.csv:5 to vitals.csv:5]" in text
    out = tmp_path / "diff.csv"
    code, text = command(
        study, "previous", "current", "--dataset", "vs", "--subject", "002", "--json", "--csv", str(out)
    )
    assert code == 0
    content = json.loads(text)
    assert (content["before"], content["after"]) == (first, second)
    assert {row["variable"] for row in content["changes"]} == {"VSORRES", "VSSTRESC", "VSSTRESN"}
    assert content["datasets"][0]["causes"] == {"changed": {"data": 3}}
    with out.open(encoding="utf-8-sig", newline="") as stream:
        assert [row["variable"] for row in csv.DictReader(stream)] == [row["variable"] for row in content["changes"]]
    code, text = command(study, "previous", "current", "--source", "vitals")
    assert code == 0
    assert "1 deleted" not in text
    assert "vitals.csv:5" in text
    for wrong in (["nothing", "current"], ["current", "zz"], ["previous", "current", "--dataset", "ZZ"]):
        assert command(study, *wrong)[0] == 2
    assert command(study, "previous", "current", "--subject", "999")[0] == 2
    assert command(study, "previous", "current", "--source", "nowhere")[0] == 2


def test_an_ambiguous_prefix_is_refused() -> None:
    from transforms.warehouse.publications import named_snapshot

    with pytest.raises(UsageError, match="2 snapshots that begin with 'a'"):
        named_snapshot("a", (), ["ab", "ac"], "small")
    assert named_snapshot("ab", (), ["ab", "ac"], "small") == "ab"
    with pytest.raises(UsageError, match="no snapshot 'previous'"):
        named_snapshot("previous", (), ["ab", "ac"], "small")
