"""Faults of analysis datasets are refused with their place, and the order of work follows from what is read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from transforms.errors import ConfigurationError, Fault
from transforms.study import Study, analyses
from transforms.study.load import find_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_folder("ucmsc_dac"), tmp_path / "study"))


def faults(folder: Path, file: str, old: str, new: str) -> tuple[Fault, ...]:
    path = folder / "adam" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        Study.load(folder)
    return caught.value.faults


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("adex.yml", "parameters: [DOSE, INFDUR, RDI]", "only: {EXTRT: UCMSC}", "`only` is for records that"),
        ("adex.yml", "[DOSE, INFDUR, RDI]", "[DOSE, DOSE]", "a parameter is listed twice"),
        ("adex.yml", "only: {SAFFL: Y}", "only: {SAFEFL: Y}", "ADSL has no variable 'SAFEFL'"),
        ("adex.yml", "where: {AVAL: {present: false}}", "where: {AVALX: {present: false}}", "no variable 'AVALX'"),
        ("adtte.yml", "parameters:\n", "records: [{source: AE}]\nparameters:\n", "time to event has `parameters`"),
        ("adtte.yml", "origin: TRTEDT", "origin: TRTEDX", "reads ADSL.TRTEDX, which ADSL does not have"),
        ("adtte.yml", "censor: 2, ", "", "each of `censorings` needs `censor`"),
        ("adtte.yml", "  ADY: {", "  CNSR: {hardcode_no_ct: 0}\n  ADY: {", "is written by the engine"),
        ("adae.yml", "table: adam_queries", "table: adam_quries", "no table 'adam_quries'"),
        ("adae.yml", "{qualifier: AE.AEDLT}", "{qualifier: AEDLT}", "not written DOMAIN.QNAM"),
        ("adae.yml", "of: EX, start: EXSTDTC, to: 24", "of: EX, start: EXSTDT, to: 24", "reads EX.EXSTDT"),
        ("adeff.yml", "score: meld_i, of", "score: meld, of", "unknown score 'meld'"),
        ("adeff.yml", "inr: MINR, dialysed: {DIALFL: Y}}", "inr: MINR}", "meld_i is computed of"),
        ("adeff.yml", "blocks: [windows", "blocks: [window", "the file is missing"),
        ("adeff.yml", "  SHIFT1: {", "  ADY: {copy: ADYLD}\n  SHIFT1: {", "ADY is in block 'windows' as well"),
        ("adae.yml", "{nearest_value: EX.EXDOSE,", "{nearest_value: EX.EXDOSE, of: EC,", "remove `of`"),
        ("adsl.yml", "keys: [USUBJID]", "keys: [USUBJID, MELDBL]", "MELDBL is filled after other datasets"),
        # MELDBL is taken from ADEFF, which may not take it from ADSL.
        ("adeff.yml", "DTHDT, DCUTDT]", "DTHDT, DCUTDT, MELDBL]", "a cycle of datasets"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_where_it_stands(folder: Path, file: str, old: str, new: str, problem: str) -> None:
    found = [str(one) for one in faults(folder, file, old, new)]
    assert any(problem in one for one in found), found


def test_adsl_is_finished_after_what_it_takes_values_from() -> None:
    files = Study.load("ucmsc_dac").analyses
    late = analyses.late(files)
    assert {"MELDBL", "MELDBLG1", "DLTEVLFL", "toxicities"} <= late
    assert not {"USUBJID", "TRTSDT", "SAFFL", "PPROTFL"} & late
    order = analyses.dataset_order(files)
    assert order.index("ADSL") < order.index("ADLB") < order.index("ADEFF") < order.index(analyses.WHOLE)
    assert analyses.WHOLE not in analyses.dataset_order(files, ["ADTTE"]), "survival needs no baseline score"
    assert analyses.dataset_order(files, ["ADSL"])[-1] == analyses.WHOLE


def test_every_assumption_of_the_analysis_datasets_is_told() -> None:
    """Each file of adam/ that marks an assumption stands in the assumptions of the guide."""
    root = find_folder("ucmsc_dac")
    told = [one.where for one in Study.load("ucmsc_dac").guide.adrg.assumptions]
    marked = [
        path for path in sorted((root / "adam").rglob("*.yml")) if re.search(r"# \[A\]|: \[A\]", path.read_text())
    ]
    assert len(marked) >= 5
    for path in marked:
        assert any(path.relative_to(root).as_posix() in one for one in told), path.name
