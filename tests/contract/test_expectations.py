"""Rules are well formed, explained and used; what is wrong with a rule book is said at once, fault by fault."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.small_study import SmallStudy
from transforms.core.dates import is_iso
from transforms.errors import ConfigurationError, Fault
from transforms.findings import Severity
from transforms.study import Study
from transforms.study.yaml import read_yaml
from transforms.validation import columns, rules
from transforms.validation.expectations import KNOWN
from transforms.validation.rules import Rule, RuleBook, explanations, rule_book
from transforms.validation.structure import ISO_8601

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ("cdiscpilot01", "ucmsc_dac")
ANALYSES = {"ADSL": "ADSL", "ADLB": "BDS", "ADTTE": "TTE", "ADAE": "OCCDS"}
GOOD = """\
source: vitals
rules:
  - id: small.pressure
    expect: {expect_column_values_to_be_between: {column: SYSBP, min_value: 50}}
    severity: answer
    message: the pressure is too low
    remedy: Ask the site
    why: Nobody lives with it
    cause: A slip
    who: site
"""


@pytest.fixture(scope="module")
def books() -> dict[str, RuleBook]:
    return {name: rule_book(Study.load(name)) for name in STUDIES}


def written(folder: Path) -> dict[str, Path]:
    """The ids of the rules of a folder, with their files."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.yml")):
        if path.parent.name != "expectations":
            found.update({one["id"]: path for one in read_yaml(path).get("rules", ())})
    return found


def literals(kind: Any, field: str) -> set[str]:
    """The texts that a field of an expectation may hold, as its annotation (of the class or a base) lists them."""
    written = [str(vars(base).get("__annotations__", {}).get(field, "")) for base in kind.__mro__]
    found = [set(re.findall(r"[\"']([a-z_]+)[\"']", annotation)) for annotation in written]
    return next((texts for texts in found if texts), set())


def test_expectations_known_are_those_of_great_expectations() -> None:
    from great_expectations import expectations

    for name, known in KNOWN.items():
        kind = getattr(expectations, "".join(word.capitalize() for word in name.split("_")))
        fields = kind.__fields__
        assert known.options <= set(fields), name
        needed = {key for key, field in fields.items() if field.required}
        assert needed <= {*known.columns, *known.required, *known.optional}, name
        if known.nulls:
            assert set(known.nulls) == literals(kind, "ignore_row_if"), name
        assert (known.shape == "table") == (getattr(kind, "map_metric", None) is None), name


def test_what_the_engine_finds_is_explained() -> None:
    """A rule without an explanation would end the run in which it finds something for the first time."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "transforms").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in {"Problem", "Finding"}
            ):
                (rule,) = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "rule")] or [None]
                if isinstance(rule, ast.Constant):
                    found[rule.value] = f"{path.relative_to(ROOT)}:{call.lineno}"
    assert len(found) > 30
    explained = read_yaml(ROOT / "expectations" / "engine.yml")
    assert {rule: place for rule, place in found.items() if rule not in explained} == {}


@pytest.mark.parametrize("study", STUDIES)
def test_rules_of_a_study_are_written_and_explained(study: str, books: Mapping[str, RuleBook]) -> None:
    book = books[study]
    own = written(ROOT / "cdisc_mappings" / study / "checks")
    assert set(own) <= set(explanations(book))
    by_id: dict[str, set[tuple[str, ...]]] = {}
    for rule in book.rules():
        by_id.setdefault(rule.id, set()).add((rule.why, rule.cause, rule.who, str(rule.releasable)))
        for text in (rule.message, rule.remedy):
            assert not text.endswith(".") and "{" not in text, (rule.id, text)
        assert rule.why.endswith(".") and rule.cause.endswith("."), rule.id
        assert rule.said, rule.id
    assert all(len(said) == 1 for said in by_id.values())


def test_only_staged_rows_are_held_and_only_what_cannot_be_interpreted(books: Mapping[str, RuleBook]) -> None:
    for book in books.values():
        held = {rule.id for rule in book.rules() if rule.action == "hold"}
        assert held <= {"source.damaged_text", "kps.score", "he.grade"}
        for part in (book.sdtm, book.adam):
            assert not any(rule.action == "hold" for own in part.values() for rule in own)


def test_every_shared_rule_is_used(books: Mapping[str, RuleBook], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "analyses", lambda _: ANALYSES)
    with_adam = rule_book(Study.load("ucmsc_dac"))
    used = {rule.id for book in (*books.values(), with_adam) for rule in book.rules()}
    texts = set(read_yaml(ROOT / "expectations" / "structure.yml"))
    shared = set(written(ROOT / "expectations"))
    assert shared | texts <= used
    assert {len(own) > 2 for own in with_adam.adam.values()} == {True}


def test_the_rule_book_does_not_import_great_expectations() -> None:
    code = (
        "import sys; from transforms.study import Study; from transforms.validation.rules import rule_book;"
        "import transforms.validation.check; rule_book(Study.load('cdiscpilot01'));"
        "print('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_class_rules_are_written_with_the_name_of_the_dataset(books: Mapping[str, RuleBook]) -> None:
    rule = next(one for one in books["cdiscpilot01"].sdtm["QS"] if one.id == "findings.result_of_test_not_done")
    assert rule.checked == ("QSORRES",)
    assert set(rule.where) == {"QSSTAT"}
    held = [one.id for one in books["cdiscpilot01"].sdtm["LB"]]
    assert "findings.result_of_test_not_done" not in held  # LB of the pilot has no LBSTAT
    assert "findings.result_lost" in held


def test_roles_are_bound_to_columns(books: Mapping[str, RuleBook]) -> None:
    by_id = {rule.id: rule for rule in books["ucmsc_dac"].staged["lis"]}
    rule = by_id["laboratory.received_before_collected"]
    assert set(rule.read()) == {"采集时间", "接收时间"}
    assert rule.said == "接收时间, 采集时间"
    assert "laboratory.limits_order" not in by_id  # low and high are one text there
    assert by_id["laboratory.range_order"].per == ("项目代码",)


def test_dates_of_one_form_are_one_rule_however_many_datasets_they_fill(books: Mapping[str, RuleBook]) -> None:
    book = books["ucmsc_dac"]
    assert [rule.said for rule in book.staged["dose"] if rule.id == "source.date_order"] == ["infstdtm, infendtm"]
    for name in ("EX", "EC", "AE", "SV"):
        assert "structure.date_order" not in {rule.id for rule in book.sdtm[name]}
    assert "structure.date_order" in {rule.id for rule in book.sdtm["SE"]}


@pytest.mark.parametrize(
    "value",
    ["2022", "2022-07", "2022---15", "2022-07-01", "2022-07-01T10:15", "2022-07-01T10:15:59", "2024-02-29",
     "2000-02-29", "2022-13", "2022-02-29", "1900-02-29", "2022-04-31", "2022-07-01T24:00", "2022-7-1", "07/2022",
     "2022-07-01 10:15", "2022-07-01T10", "2022-07-UN", "2022-07-00", "2022-00", "2022---00", "2022-07-01T10:60",
     "20220701", ""],
)  # fmt: skip
def test_the_pattern_of_dates_agrees_with_the_engine(value: str) -> None:
    assert bool(re.search(ISO_8601, value)) == (is_iso(value) and value != "2022---00")


def faults(small: SmallStudy, **options: Any) -> tuple[Fault, ...]:
    with pytest.raises(ConfigurationError) as caught:
        rule_book(small.load(), **options)
    assert caught.value.exit_code == 2
    return caught.value.faults


def refused(small: SmallStudy, content: str, place: str, problem: str) -> None:
    """The file has exactly one fault, at the place, and it is said what is wrong and what to do."""
    small.specify("checks/vitals.yml", content)
    found = faults(small)
    assert [fault.file for fault in found] == ["checks/vitals.yml"], found
    assert found[0].place.startswith(place)
    assert problem in found[0].problem or problem in found[0].remedy, found[0]
    assert found[0].remedy


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ("values_to_be_between", "values_to_be_betwen", "small.pressure", "did you mean expect_column_values_to_be_b"),
        ("min_value: 50", "minimum: 50", "small.pressure", "takes no 'minimum'"),
        (", min_value: 50", "", "small.pressure", "needs min_value or max_value"),
        ("column: SYSBP, ", "", "small.pressure", "needs 'column'"),
        ("column: SYSBP", "column: [SYSBP]", "small.pressure", "column must name a column"),
        ("column: SYSBP", "column: SYSPB", "small.pressure", "vitals has no column 'SYSPB'"),
        ("column: SYSBP", "column: VISIT", "small.pressure", "VISIT is text"),
        ("source: vitals", "source: vital", "small.pressure", "there is no source 'vital'"),
        ("source: vitals", "dataset: XX", "small.pressure", "there is no dataset 'XX'"),
        ("source: vitals", "class: FINDING", "small.pressure", "there is no class 'FINDING'"),
        ("source: vitals", "source: vitals\ndataset: VS", "", "rules are for one of"),
        ("source: vitals", "sources: vitals", "sources", "unknown key 'sources'"),
        ("severity: answer", "severity: severe", "small.pressure.severity", "input should be"),
        ("severity: answer", "severity: answer\n    tell: SYSBP", "small.pressure", "only texts of the specification"),
        (
            "severity: answer",
            "severity: answer\n    tells: [key_not_uniqe]",
            "small.pressure",
            "Did you mean key_not_unique?",
        ),
        ("severity: answer", "severity: answer\n    tells: [small.pressure]", "small.pressure", "tells itself"),
        (
            "severity: answer",
            "severity: answer\n    gathers: [sv.after_deth]",
            "small.pressure",
            "mean sv.after_death?",
        ),
        ("severity: answer", "severity: answer\n    gathers: [vs.implausible]", "small.pressure", "split by the same"),
        ("severity: answer", "severity: answer\n    action: hold", "small.pressure", "that holds rows is critical"),
        ("severity: answer", "severity: critical\n    releasable: true", "small.pressure", "only a rule that holds"),
        ("    why: Nobody lives with it\n", "", "small.pressure.why", "'why' is missing"),
        ("    cause: A slip\n", "", "small.pressure.cause", "'cause' is missing"),
        ("    who: site\n", "", "small.pressure.who", "'who' is missing"),
        ("who: site", "who: ''", "small.pressure.who", "at least 1 character"),
        ("who: site", "who: site\n    whom: site", "small.pressure.whom", "unknown key 'whom'"),
        ("id: small.pressure", "id: Pressure", "Pressure.id", "string should match pattern"),
        ("id: small.pressure", "id: vs.implausible", "vs.implausible", "is also in expectations/sdtm/vs.yml"),
        ("rules:", "rules: [\nrules:", "line 4", "expected the node content"),
    ],
)
def test_each_fault_of_a_rule_is_named(small: SmallStudy, old: str, new: str, place: str, problem: str) -> None:
    assert old in GOOD
    refused(small, GOOD.replace(old, new, 1), place, problem)


@pytest.mark.parametrize(
    ("added", "place", "problem"),
    [
        ("where: {SYSBQ: x}", "small.pressure", "no column 'SYSBQ'"),
        ("where: {SYSBP: {is: x}}", "small.pressure.where.SYSBP", "is"),
        ("per: [NOBODY]", "small.pressure", "no column 'NOBODY'"),
        ("columns: {n: {nombre: SYSBP}}", "small.pressure", "names 0 preparations"),
        ("columns: {n: {number: SYS}}", "small.pressure", "no column 'SYS'"),
        ("columns: {N: {number: SYSBP}}", "small.pressure", "lower-case"),
        ("columns: {n: {part: VISIT, pattern: x}}", "small.pressure", "one group"),
        ("columns: {n: {lookup: A, table: t, by: {B: VISIT}}}", "small.pressure", "there is no table 't'"),
        (
            "columns: {n: {cell: A, table: ctcae-4.0/terms, by: {B: VISIT}}}",
            "small.pressure",
            "no table 'ctcae-4.0/terms'",
        ),
        (
            "columns: {n: {cell: A, table: ctcae-5.0/terms, by: {term: VISIT}}}",
            "small.pressure",
            "terms.csv has no column",
        ),
        ("columns: {n: {lookup: HI, table: visits, by: {VISIT: VISIT}}}", "small.pressure", "has no column 'HI'"),
        ("columns: {n: {count: VISIT, of: XX}}", "small.pressure", "there is no source 'XX'"),
        ("columns: {n: {sum: [VISIT, 1]}}", "small.pressure", "VISIT is text"),
    ],
)
def test_each_fault_of_columns_and_conditions_is_named(small: SmallStudy, added: str, place: str, problem: str) -> None:
    refused(small, f"{GOOD}    {added}\n", place, problem)


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("{expect_column_values_to_match_regex: {column: VISIT, regex: '('}}", "regex cannot be read"),
        ("{expect_column_values_to_be_in_set: {column: VISIT, value_set: {codelist: C1}}}", "no CT codelist 'C1'"),
        ("{expect_column_values_to_be_in_set: {column: VISIT, value_set: {table: visits, column: X}}}", "no column X"),
        (
            "{expect_column_values_to_be_in_set: {column: VISIT, value_set: {table: ctcae-5.0/terms, column: X}}}",
            "no column X",
        ),
        (
            "{expect_column_values_to_be_in_set: {column: VISIT, value_set: {table: ../ctcae, column: X}}}",
            "no column X",
        ),
        ("{expect_column_values_to_be_in_set: {column: VISIT, value_set: x}}", "value_set is neither"),
        ("{expect_column_pair_values_to_be_equal: {column_A: SYSBP, column_B: VISIT}}", "needs ignore_row_if: both"),
        ("[]", "expect names one expectation"),
    ],
)
def test_each_fault_of_an_expectation_is_named(small: SmallStudy, expect: str, problem: str) -> None:
    refused(small, re.sub("expect: .*", lambda _: f"expect: {expect}", GOOD), "small.pressure", problem)


def test_a_rule_without_expectation_is_named(small: SmallStudy) -> None:
    refused(small, re.sub("    expect: .*\n", "", GOOD), "small.pressure.expect", "'expect' is missing")


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ("{kind: laboratories, source: vitals, columns: {}}", "there is no kind of source"),
        ("{kind: laboratory, source: vital, columns: {}}", "there is no source 'vital'"),
        ("{kind: laboratory, source: vitals, columns: {taken: DATE}}", "has no role 'taken'"),
        ("{kind: laboratory, source: vitals, columns: {result: DATES}}", "has no column 'DATES'"),
    ],
)
def test_each_fault_of_a_kind_is_named(small: SmallStudy, use: str, problem: str) -> None:
    refused(small, f"use: [{use}]\n{GOOD}", "use.laborator", problem)


def test_a_good_rule_is_taken_and_all_faults_come_at_once(small: SmallStudy) -> None:
    small.specify("checks/vitals.yml", GOOD)
    book = rule_book(small.load())
    assert [rule.id for rule in book.staged["vitals"] if rule.id.startswith("small.")] == ["small.pressure"]
    small.specify("checks/one.yml", GOOD.replace("SYSBP", "NONE").replace("small.pressure", "small.one"))
    small.specify("checks/two.yml", GOOD.replace("answer", "odd").replace("small.pressure", "small.two"))
    small.specify("checks/three.yml", GOOD)
    assert [(fault.file, fault.place) for fault in faults(small)] == [
        ("checks/one.yml", "small.one"),
        ("checks/two.yml", "small.two.severity"),
        ("checks/vitals.yml", "small.pressure"),
    ]


def test_a_rule_looks_into_a_published_table(small: SmallStudy) -> None:
    published = "{table: ctcae-5.0/adverse_events, column: SOC}"
    content = GOOD.replace("values_to_be_between: {column: SYSBP, min_value: 50}",
                           f"values_to_be_in_set: {{column: VISIT, value_set: {published}}}")  # fmt: skip
    small.specify("checks/vitals.yml", content)
    (rule,) = [one for one in rule_book(small.load()).staged["vitals"] if one.id == "small.pressure"]
    assert len(rule.kwargs["value_set"]) == 26 and "Eye disorders" in rule.kwargs["value_set"]


def test_a_rule_that_holds_is_for_sources_only(small: SmallStudy) -> None:
    held = GOOD.replace("severity: answer", "severity: critical\n    action: hold\n    releasable: true")
    small.specify("checks/vitals.yml", held)
    assert rule_book(small.load()).staged["vitals"][-1].releasable
    small.specify("checks/vitals.yml", held.replace("source: vitals", "dataset: VS").replace("SYSBP", "VSSTRESN"))
    assert "only rows of a staged source can be held" in faults(small)[0].remedy.lower()


def test_a_rule_cannot_read_an_identifier(small: SmallStudy) -> None:
    small.change(
        "sources/vitals.yml", "  SYSBP: {type: number}", "  SYSBP: {type: number}\n  PHONE: {identifier: true}"
    )
    small.specify("checks/vitals.yml", GOOD.replace("column: SYSBP", "column: PHONE"))
    assert "has no column 'PHONE'" in faults(small)[0].problem


def test_a_misspelt_variable_of_a_shared_rule_is_found(small: SmallStudy, tmp_path: Path) -> None:
    root = tmp_path / "expectations"
    (root / "sdtm").mkdir(parents=True)
    (root / "structure.yml").write_text((ROOT / "expectations" / "structure.yml").read_text())
    (root / "sdtm" / "findings.yml").write_text(
        GOOD.replace("source: vitals", "class: FINDINGS").replace("SYSBP", "--STRSN")
    )
    found = faults(small, root=root)
    assert [(fault.file, fault.place) for fault in found] == [("expectations/sdtm/findings.yml", "small.pressure")]
    assert "no dataset of FINDINGS can have" in found[0].problem


def test_severities_are_those_of_findings() -> None:
    assert {"critical", "answer", "information"} == {one.value for one in Severity}
    assert Rule.model_fields["severity"].annotation is Severity


def table_of(heading: str) -> dict[str, tuple[str, ...]]:
    """The rows of a table of docs/checks.md by first cell."""
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    part = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {cell[0].strip("` "): tuple(cell[1:]) for cell in cells}


def test_the_guide_lists_every_shared_rule() -> None:
    listed = table_of("Rules that studies share")
    expected: dict[str, tuple[str, str]] = {}
    for name, content in yaml.safe_load((ROOT / "expectations" / "structure.yml").read_text()).items():
        expected[name] = ("specification", content["severity"])
    for path in sorted((ROOT / "expectations").rglob("*.yml")):
        if path.parent.name in {"sources", "sdtm", "adam"}:
            for rule in read_yaml(path)["rules"]:
                expected[rule["id"]] = (f"{path.parent.name}/{path.stem}", rule["severity"])
    assert {rule: cells[:2] for rule, cells in listed.items()} == expected


def test_the_guide_lists_every_expectation_and_prepared_column() -> None:
    assert set(table_of("Expectations")) == set(KNOWN)
    assert set(table_of("Prepared columns")) == set(columns.WORDS)
