"""Outputs that cannot be made are refused before a run, every fault at once with file, place and remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from transforms.errors import ConfigurationError, Fault
from transforms.study import Study

STUDY = Path(__file__).resolve().parents[2] / "cdisc_mappings" / "ucmsc_dac"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STUDY, tmp_path / STUDY.name))


def faults(folder: Path) -> list[Fault]:
    with pytest.raises(ConfigurationError) as caught:
        Study.load(folder)
    return list(caught.value.faults)


def change(folder: Path, name: str, *pairs: tuple[str, str]) -> None:
    path = folder / "results" / name
    content = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in content, old
        content = content.replace(old, new, 1)
    path.write_text(content, encoding="utf-8")


def test_what_does_not_fit_the_datasets_is_told_at_once(folder: Path) -> None:
    change(
        folder,
        "shared.yml",
        ("where: {SAFFL: Y}}", "where: {SAFFLL: Y}}"),
        ("where: {TRT01AN: 1}}", "where: {TRT01AN: ONE}}"),
        ("{dataset: ADAE, label: Dose-limiting", "{dataset: ADAF, label: Dose-limiting"),
    )
    change(
        folder,
        "safety.yml",
        (
            "population: SAFETY\n    columns: ACTUAL\n    rows: Adverse",
            "population: SAFE\n    columns: ACTUL\n    rows: Adverse",
        ),
        ("{start: TRTSDT, end: [DTHDT", "{start: AGE, end: [DTHDT"),
        ('"({ci_low}, {ci_high})"', '"({ci_lo}, {ci_high})"'),
        ("{id: any, label: Any adverse event}", "{id: any, label: Any adverse event, data: EMERGNT}"),
    )
    change(
        folder,
        "efficacy.yml",
        (
            "variable: CHG, by: [{variable: PARAM, order: PARAMN}",
            "variable: AVALC, by: [{variable: PARAM, order: AVISIT}",
        ),
        ("across: AVALC", "across: AVALCC"),
        ("{label: Dead, where: {LDDTHELD: {at_most: 60}}}", "{label: Deceased, where: {LDDTHELD: {at_most: 60}}}"),
        ("curve: curve", "curve: curves"),
        ("x_variable: ADYLD", "x_variable: ADY"),
    )
    found = [(one.file, one.place, one.problem, one.remedy) for one in faults(folder)]
    expected = {
        ("results/shared.yml", "SAFETY"): ("ADSL has no variable 'SAFFLL'", "Did you mean SAFFL?"),
        ("results/shared.yml", "ACTUAL.UC05"): ("ADSL.TRT01AN is a number and compared with a text", "Write numbers"),
        ("results/shared.yml", "TOXICITY"): ("no dataset 'ADAF'", "Did you mean"),
        ("results/safety.yml", "T14.3.1.population"): ("no analysis set 'SAFE'", "SAFETY"),
        ("results/safety.yml", "T14.3.1.columns"): ("no grouping 'ACTUL'", "Did you mean ACTUAL?"),
        ("results/safety.yml", "T14.3.1.any"): ("no data subset or dataset 'EMERGNT'", "Did you mean EMERGENT?"),
        ("results/safety.yml", "T14.3.1.serious"): ("ADSL.AGE is", "Name a date"),
        ("results/efficacy.yml", "T14.2.1.change"): ("ADEFF.", "Name a number"),
        ("results/efficacy.yml", "T14.2.3.2.across"): ("AVALCC is no by-variable of", "Name one"),
        ("results/efficacy.yml", "T14.2.3.2.month_1.absent"): ("'Deceased' is not among the values", "Known: A, B"),
        ("results/efficacy.yml", "F14.2.1.figure"): ("no analysis 'curves'", "Did you mean curve?"),
        ("results/efficacy.yml", "F14.2.2.figure"): ("ADY is no column of scores", "Did you mean ADYLD?"),
    }
    expected["results/safety.yml", "T14.3.1.fatal"] = ("count gives no statistic 'ci_lo'", "ci_low")
    for (file, place), (problem, remedy) in expected.items():
        fitting = [one for one in found if one[:2] == (file, place) and problem in one[2] and remedy in one[3]]
        assert fitting, (file, place, [one for one in found if one[0] == file])
    assert not [one for one in found if one[1] == "T14.3.2.any"], "what is right has no fault"


def test_what_is_written_wrong_is_told_with_its_place(folder: Path) -> None:
    change(
        folder,
        "safety.yml",
        ("worst: ATOXGRN", "worst: ATOXGRM"),
        ("kind: listing", "kind: lists"),
        ("method: listing", "method: listings"),
    )
    change(folder, "laboratory.yml", ("across: ANRIND", "acros: ANRIND"))
    change(folder, "subjects.yml", ("population: ENROLLED\n    columns: PLANNED", "population: ENROLLED"))
    problems = {(one.file, one.problem) for one in faults(folder)}
    text = "\n".join(f"{file}: {problem}" for file, problem in sorted(problems))
    assert "results/safety.yml: worst is the last by-variable" in text
    assert "results/laboratory.yml: unknown key 'acros'" in text
    assert "results/subjects.yml: 'columns' is missing" in text
    assert "results/safety.yml: input should be 'table', 'listing' or 'figure'" in text
    assert "listings" in text
    assert not any("no analysis set" in problem for _, problem in problems), "a fault that only follows from another"


def test_a_name_stands_in_one_file(folder: Path) -> None:
    (folder / "results" / "other.yml").write_text("analysis_sets:\n  SAFETY: {label: Again}\n", encoding="utf-8")
    (fault,) = faults(folder)
    assert (fault.file, fault.place) == ("results/shared.yml", "analysis_sets.SAFETY")
    assert "is also in results/other.yml" in fault.problem


def test_outputs_are_hashed_into_the_specification(folder: Path) -> None:
    before = Study.load(folder)
    assert "results/safety.yml" in before.specification_files
    change(folder, "safety.yml", ("title: Deaths", "title: Deaths and Their Causes"))
    assert Study.load(folder).specification_hash != before.specification_hash


PILOT = STUDY.parent / "cdiscpilot01"


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PILOT, tmp_path / PILOT.name))
    change(
        folder,
        "safety.yml",
        ("of_group: HIGH", "of_group: HIHG"),
        (
            "columns: ARMS\n    rows: Time",
            "columns: ARMS_TOTAL_P\n    across: statistics\n    cells: [{show: '{n}'}]\n    rows: Time",
        ),
    )
    change(folder, "subjects.yml", ("columns: ARMS_TOTAL_P", "columns: ARMS_TOTAL"))
    change(folder, "efficacy.yml", ("factors: [SITEGR1]", "factors: [SITEGR]"), ("dose: TRTPN", "dose: TRTP"))
    change(folder, "laboratory.yml", ('"{records.events}"', '"{record.events} {value.average}"'))
    found = [(one.file, one.place, one.problem, one.remedy) for one in faults(folder)]
    expected = {
        ("results/safety.yml", "T14-5.01.any"): ("no group 'HIHG'", "Did you mean HIGH?"),
        ("results/safety.yml", "T14-5.03.columns"): ("ARMS_TOTAL_P has comparisons", "without them"),
        ("results/subjects.yml", "T14-2.01.age"): ("ARMS_TOTAL has no comparisons to test", "Add one"),
        ("results/efficacy.yml", "T14-3.01.model"): ("ADQS has no variable 'SITEGR'", "Did you mean SITEGR1?"),
        ("results/laboratory.yml", "T14-6.01.cells"): ("'record.events' names no analysis", "records, value, change"),
    }
    for (file, place), (problem, remedy) in expected.items():
        fitting = [one for one in found if one[:2] == (file, place) and problem in one[2] and remedy in one[3]]
        assert fitting, (file, place, [one for one in found if one[0] == file])
    problems = [problem for _, _, problem, _ in found]
    assert "summary gives no statistic 'average'" in problems
    assert any("ADQS.TRTP is text, not a number" in problem for problem in problems)


def test_a_timeline_is_of_the_cohorts_of_the_gate(folder: Path) -> None:
    change(
        folder,
        "shared.yml",
        ('{id: UC20, label: "2.0 x 10^6 cells/kg", where: {TRT01PN: 3}}', "{id: HIGH, label: H, where: {TRT01PN: 3}}"),
    )
    (found,) = faults(folder)
    assert "not the cohorts of gate.yml" in found.problem
    assert "UC05, UC10, UC20" in found.remedy
    (folder / "gate.yml").unlink()
    (found,) = faults(folder)
    assert "no gate" in found.problem
