"""Parts of a define: prose, types and lengths, where clauses, labels, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import html

from tests.small_study import SmallStudy
from transforms.algorithms.base import REGISTRY, parse
from transforms.errors import ConfigurationError, UsageError
from transforms.study import Study, analyses, graph, results
from transforms.submission.define.agreement import agreement_problems, from_snapshot
from transforms.submission.define.checks import problems_of
from transforms.submission.define.document import Document
from transforms.submission.define.metadata import describe
from transforms.submission.define.page import to_html
from transforms.submission.define.profile import Data, column_profile, iso_type, read, result_profile, submitted_lengths
from transforms.submission.define.prose import SENTENCES, sentence
from transforms.submission.define.results import METHODS, Displays
from transforms.submission.define.values import oid_part
from transforms.submission.define.xml_file import to_xml
from transforms.submission.labels import Labels

STANDARDS = Path(__file__).resolve().parents[2] / "cdisc_mappings" / "standards"
TOLD_APART = {"choose", "band", "stepped_dose"}
"""Words whose sentence is made of their cases."""


def test_every_word_of_the_language_has_a_sentence() -> None:
    assert set(REGISTRY) - set(SENTENCES) - TOLD_APART == set()


@pytest.mark.parametrize("word", sorted(set(SENTENCES) & set(REGISTRY)))
def test_a_sentence_speaks_of_options_that_the_word_has(word: str) -> None:
    said, options = SENTENCES[word]
    spoken = set(re.findall(r"\{(\w+)", said + "".join(options.values())))
    assert spoken | set(options) <= set(REGISTRY[word].model_fields), word


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"hardcode_ct": "YEARS"}, "Set to YEARS"),
        ({"assign_datetime": ["DAY", "TIME"]}, "The collected value of DAY, TIME in ISO 8601, as precise as collected"),
        ({"lookup": "ARM", "table": "arms", "by": {"ARMCD": "ACTARMCD"}},
         "ARM of the study's table arms, by ARMCD = ACTARMCD"),
        ({"earliest": "DS.DSSTDTC", "where": {"DSDECOD": "DEATH"}, "part": "date"},
         "The subject's first date in DS.DSSTDTC, of records where DSDECOD is DEATH"),
        ({"quotient": ["A", "B"], "decimals": 3}, "A over B, rounded half away from zero to 3 decimals"),
        ({"choose": [{"when": {"N": {"at_least": 2}}, "value": "Y"}, {"value": "N"}]},
         "Y where N is at least 2; else N"),
        ({"band": "AGE", "bands": [{"below": 65, "value": "<65"}, {"value": ">=65"}]},
         "By AGE: <65 below 65; otherwise >=65"),
        ({"flag_first": ["-AVAL", "ADT"], "by": ["USUBJID"], "when": {"AVAL": {"present": True}}},
         "Y on the first record in the order of AVAL downwards, ADT, in each USUBJID, where AVAL is present"),
    ],
)  # fmt: skip
def test_what_a_rule_says(written: dict[str, object], said: str) -> None:
    assert sentence(parse(written)) == said


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2024-01-31", "2023-02-01"], "date"),
        (["2024-01-31", "2023-02"], "partialDate"),
        (["2024-01-31T10:30:00"], "datetime"),
        (["2024-01-31T10:30", "2024-01-31"], "partialDatetime"),
        (["2024-01-31T10:30", "--01-31"], "incompleteDatetime"),
        ([], "datetime"),
    ],
)
def test_the_narrowest_type_of_dates(values: list[str], kind: str) -> None:
    assert iso_type(values) == kind


@pytest.mark.parametrize(
    ("values", "kind", "length", "digits"),
    [
        (["1", "12", "-3"], "integer", 2, None),
        (["1.5", "12", "0.25"], "float", 4, 2),
        (["1.5", "<2"], "text", 3, None),
        (["007", "8"], "text", 3, None),  # a leading zero is a code's
        (["2024-01-31", "2024-02"], "partialDate", None, None),
        (["数据"], "text", 6, None),  # three bytes each in UTF-8, which ASCII cannot hold
    ],
)
def test_types_of_results(values: list[str], kind: str, length: int | None, digits: int | None) -> None:
    profile = result_profile(values, "ascii")
    assert (profile.type, profile.length, profile.digits) == (kind, length, digits)


def test_a_length_is_in_bytes_of_the_encoding() -> None:
    data = Data("AE", pa.table({"AETERM": ["数据", "a", None]}))
    assert column_profile(data, "AETERM", "", "gbk").length == 4
    assert column_profile(data, "AETERM", "", "utf-8").length == 6


def test_values_with_signs_have_oids_of_their_own() -> None:
    """An OID holds no blank and no bracket, and `A B` and `A_B` stay apart."""
    parts = [oid_part(value) for value in ("A_B", "A B", "A(B")]
    assert len(set(parts)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) for part in parts)


def test_chinese_labels_fit_and_cover_what_the_studies_write() -> None:
    """40 bytes in UTF-8, the longest of the encodings; every label that the two studies can write has one."""
    with (STANDARDS / "labels_zh.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["label"] for row in rows}) == len(rows)
    assert [row for row in rows if not 0 < len(row["label_zh"].encode()) <= 40] == []
    for name in ("ucmsc_dac", "cdiscpilot01"):
        study = Study.load(name)
        labels = Labels.load(study.folder)
        written = {study.standards.datasets[one].label for one in study.datasets}
        for dataset in study.datasets:
            known = study.standards
            written |= {
                variable.label
                for one in graph.submitted(study, dataset)
                if (variable := known.variable(dataset, one)) is not None
            }
        for file_ in study.analyses.values():
            written.add(file_.label)
            defined = (analyses.define(study, file_, one) for one in (*analyses.AUTOMATIC, *file_.written()))
            written |= {one.label for one in defined if one is not None and one.name.isupper()}
        assert sorted(label for label in written if labels.of(label).zh is None) == [], name
        assert labels.of_dataset("Supplemental Qualifiers for AE").zh == "AE的补充修饰语"


def test_a_small_study_is_described_and_agrees(small: SmallStudy) -> None:
    small.run()
    snapshot = (small.home / "warehouse" / "small" / "current").resolve()
    define = describe(small.load(), snapshot, "sdtm")
    content = to_xml(define)
    assert problems_of(content, study=small.load()) == []
    data = read(snapshot, "sdtm")
    lengths = submitted_lengths(snapshot, "ascii")
    delivered = [from_snapshot(one, lengths[name]) for name, one in data.items()]
    assert agreement_problems(Document.parse(content), delivered) == []
    items = {item.oid: item for group in define.groups for item in group.items}
    # Counted by hand in EXTRACTS: SYSBP has three digits, WEIGHT four signs (80.5).
    values = {item.where: item for one in define.value_lists for item in one.items if one.oid == "VL.VS.VSORRES"}
    assert {where: (item.type, item.length) for where, item in values.items()} == {
        "WC.VS.SYSBP": ("integer", 3),
        "WC.VS.WEIGHT": ("float", 4),
    }
    assert items["IT.VS.VSTESTCD"].codelist == "CL.VSTESTCD"
    assert [(one.value, one.decode) for one in _terms(define, "CL.VSTESTCD")] == [
        ("SYSBP", "Systolic Blood Pressure"),
        ("WEIGHT", "Weight"),
    ]
    assert [one.value for one in _terms(define, "CL.SEX")] == ["F", "M"]


def test_a_define_and_its_page_say_that_the_data_are_synthetic(small: SmallStudy) -> None:
    small.run()
    snapshot = (small.home / "warehouse" / "small" / "current").resolve()
    labelled = to_xml(describe(small.load(), snapshot, "sdtm", label="SYNTHETIC - NOT PATIENT DATA"))
    assert problems_of(labelled, study=small.load()) == []
    assert html.fromstring(to_html(labelled)).xpath("string(//p[@class='label'])") == "SYNTHETIC - NOT PATIENT DATA"
    plain = to_xml(describe(small.load(), snapshot, "sdtm"))
    assert html.fromstring(to_html(plain)).xpath("//p[@class='label']") == []


def _terms(define: object, oid: str) -> tuple[object, ...]:
    return next(one.terms for one in define.codelists if one.oid == oid)  # type: ignore[attr-defined]


def test_a_snapshot_of_another_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"study": "other"}), encoding="utf-8")
    with pytest.raises(UsageError, match="is a snapshot of other, not of ucmsc_dac"):
        describe(Study.load("ucmsc_dac"), tmp_path, "sdtm")


def test_prose_of_the_study_goes_before_prose_made_of_the_rule(small: SmallStudy) -> None:
    """A method for a derived variable, a comment for an assigned one; every other one keeps its sentence."""
    small.change("sdtm/ex.yml", "{study_day: EXSTDTC}", "{study_day: EXSTDTC, method: Days of treatment.}")
    small.change("sdtm/ex.yml", "{hardcode_ct: mg}", "{hardcode_ct: mg, comment: The label of the vial.}")
    small.run()
    define = describe(small.load(), (small.home / "warehouse" / "small" / "current").resolve(), "sdtm")
    methods = {one.oid: one.text for one in define.methods}
    comments = {one.oid: one.text for one in define.comments}
    assert methods["MT.EX.EXSTDY"] == "Days of treatment."
    assert methods["MT.VS.VSDY"].startswith("Days from ")
    assert comments["COM.EX.EXDOSU"] == "The label of the vial."
    assert comments["COM.DM.AGEU"] == "Set to YEARS."
    assert problems_of(to_xml(define), study=small.load()) == []


def test_a_snapshot_without_datasets_is_refused(small: SmallStudy, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"study": "small"}), encoding="utf-8")
    with pytest.raises(UsageError, match="holds no dataset"):
        describe(small.load(), tmp_path, "sdtm")


def test_a_variable_that_the_specification_has_not_is_refused(small: SmallStudy) -> None:
    small.run()
    snapshot = (small.home / "warehouse" / "small" / "current").resolve()
    path = snapshot / "sdtm" / "dm.parquet"
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(table.append_column("DMXX", pa.array(["a"] * table.num_rows)), path)
    with pytest.raises(UsageError, match=r"DM\.DMXX of the snapshot is not in the specification"):
        describe(small.load(), snapshot, "sdtm")


def test_an_output_that_is_not_there_is_refused(small: SmallStudy) -> None:
    header = "OUTPUT,ANALYSIS,REASON,PURPOSE"
    small.specify("tables/analysis_results.csv", f"{header}\nT1,,DATA DRIVEN,EXPLORATORY OUTCOME MEASURE\n")
    with pytest.raises(ConfigurationError, match="no T1"):
        Displays(small.load(), {}, {}).found()


def test_every_method_of_an_analysis_is_documented() -> None:
    assert set(METHODS) == set(results.METHODS)
