"""The guides and the annotated CRF of both studies, against their contracts, accounts and raw extracts."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.reference import Published
from tests.submission.pdf import bookmarks_of, text_of
from transforms.export import export
from transforms.pipeline import Home
from transforms.reporting.fonts import chinese_font
from transforms.study import Study
from transforms.submission.guides.acrf_fields import forms


@pytest.fixture(scope="module")
def package(reference: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preview of the package of the reference study."""
    if chinese_font() is None:
        pytest.skip("NOT TESTED: no font of this machine has Chinese characters")
    folder = tmp_path_factory.mktemp("package") / "preview"
    return export(Home(reference.home, "ucmsc_dac"), "ucmsc_dac", preview=True, folder=folder).folder


def document(package: Path, name: str) -> Path:
    (found,) = package.rglob(name)
    return found


def test_each_field_of_each_contract_stands_once_and_its_counts_close(reference: Published) -> None:
    """Second route for the counts: the extracts as pandas reads them, cells that are not blank."""
    study, snapshot = Study.load("ucmsc_dac"), reference.report.path
    found = forms(study, snapshot)
    named = Counter((field.form, field.name) for form in found for field in form.fields)
    assert set(named.values()) == {1}
    assert set(named) == {(name, column) for name, source in study.sources.items() for column in source.columns}
    assert len(named) > 400
    files = json.loads((snapshot / "manifest.json").read_text())["files"]
    delivered = {one["source"]: one["rows"] for one in files}
    read = 0
    for form in found:
        assert sum(form.rows.values()) == delivered[form.source], form.source
        for field in form.fields:
            assert (field.values is None) == (field.fate == "withheld"), field
            assert field.values is None or field.values + (field.blank or 0) == form.accepted, field
            assert field.annotations or field.reason, f"{field.form}.{field.name} has no fate"
    for source in ("ae", "dm", "dose", "vitals", "conmed"):
        (form,) = (one for one in found if one.source == source)
        (path,) = reference.landing.glob(f"UCMSC_{source.upper()}_*.csv")
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        for field in form.fields:
            if field.values is not None:
                assert field.values == int((raw[field.name].str.strip() != "").sum()), field.name
                read += 1
    assert read > 80


def test_what_the_mapping_of_adverse_events_says_is_annotated(reference: Published) -> None:
    """Read by hand in sdtm/ae.yml and sdtm/vs.yml."""
    found = {one.source: one for one in forms(Study.load("ucmsc_dac"), reference.report.path)}
    told = {
        (form, field.name): [one.text for one in field.annotations]
        for form in ("ae", "vitals", "dsmb", "lis")
        for field in found[form].fields
    }
    assert told["ae", "aeser"] == ["AE.AESER (codelist yes_no)"]
    assert told["ae", "aeterm_zh"] == ["SUPPAE.QVAL where QNAM = AETERMZH"]
    assert told["ae", "soc"] == ["AE.AEBODSYS", "AE.AESOC"]
    assert told["vitals", "weight_kg"] == ["VS.VSORRES where VSTESTCD = WEIGHT"]
    assert told["dsmb", "n_dlt"] == ["feeds SUPPAE.QVAL where QNAM = AEDLTADJ"]
    assert told["lis", "采集时间"] == ["LB.LBDTC"]


def test_the_guides_of_the_reference_study(package: Path, reference: Published) -> None:
    study = Study.load("ucmsc_dac")
    datasets = json.loads((reference.report.path / "manifest.json").read_text())["datasets"]
    for name, kind, dataset in (("csdrg.pdf", study.datasets, "LB"), ("adrg.pdf", study.analyses, "ADLB")):
        path = document(package, name)
        marks = bookmarks_of(path.read_bytes())
        assert sum(" - " in mark and mark.split(" ")[1] in kind for mark in marks) == len(
            [one for one in kind if datasets.get(one)]
        )
        text = text_of(path)
        assert f"{datasets[dataset]:,}" in text
        assert "SYNTHETIC - NOT PATIENT DATA" in text
        assert not [word for word in text.split() if word.startswith("UCMSC-DAC-01-01-")], "a subject is named"
        for word in ("Part 11", "GxP", "validated"):
            assert word not in text
    text = text_of(document(package, "csdrg.pdf"))
    assert "10^6 Therapeutic Cells/kg" in text and "溶血重抽 and the like" in text
    assert "mapping dose EX none not_given" in text
    assert re.search(r"reported_by_laboratory [\d,]+ The laboratory's own file has the result", text)
    assert "CORE CDISC CORE was not run" in text, "nothing is counted of an engine that was not run"
    text = text_of(document(package, "adrg.pdf"))
    safety = pq.read_table(reference.report.path / "adam" / "adsl.parquet", columns=["SAFFL"]).to_pandas()
    assert f"SAFFL Safety Population Flag {(safety['SAFFL'] == 'Y').sum()}" in text
    assert "Baseline of the tabulations and of the analysis" in text


def test_chinese_of_both_documents_of_one_package_is_text(package: Path) -> None:
    """The second document with a Chinese font once lost its characters."""
    text = text_of(document(package, "acrf.pdf"))
    for name in ("采集时间", "参考范围", "结果状态", "姓名(脱敏)"):
        assert name in text
    assert "溶血重抽" in text_of(document(package, "csdrg.pdf"))


def test_the_pilot_says_that_its_consent_dates_are_artificial(pilot_run: Published, tmp_path: Path) -> None:
    done = export(Home(pilot_run.home, "cdiscpilot01"), "cdiscpilot01", preview=True, folder=tmp_path / "pilot")
    text = text_of(document(done.folder, "csdrg.pdf"))
    assert "The consent dates of the extract are artificial" in text
    assert "SSTDTC Study Start Date 2012-07-06" in text
    assert "DM.RFICDTC empty, as published" in text
    assert "1,120 events are, by their dates alone" in text_of(document(done.folder, "adrg.pdf"))
