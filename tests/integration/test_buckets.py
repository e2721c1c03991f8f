"""Mapping by buckets of subjects: how many there are, and how many processes map them, is not in the bytes.

The expected bytes are those of mapping all rows at once, which knows no buckets.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.integration.test_extracts import contents
from tests.reference import Extracts
from tests.small_study import SmallStudy
from transforms import pipeline
from transforms.errors import UsageError
from transforms.sdtm.buckets import apart, bucket_rows
from transforms.study import Study
from transforms.warehouse.building import Building


def test_a_small_study_has_the_same_bytes_in_any_number_of_buckets(
    small: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for count in ("1", "2", "3"):
        monkeypatch.setenv("CAIRN_BUCKETS", count)
        report = pipeline.run(small.load(), landing=small.landing, home=tmp_path / count)
        found.append(contents(report.path))
    assert found[0] == found[1] == found[2]
    assert "sdtm/dm.parquet" in found[0]


@pytest.fixture(scope="module")
def staged(extracts: Extracts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Building]:
    """The reference study, staged."""
    study = Study.load("ucmsc_dac")
    home = pipeline.Home(tmp_path_factory.mktemp("home"), study.name)
    ingested = pipeline.ingest(study, extracts.landing, home.raw)
    building = home.building("run")
    building.begin(asdict(pipeline.open_snapshot(study, home, None)))
    pipeline.stage_sources(study, home, building, ingested.extracts)
    return study, building


def mapped(study: Study, building: Building, target: Path, buckets: int) -> dict[str, str]:
    """The hashes of all that mapping leaves to later stages, record ids apart, which number the lineage."""
    shutil.copytree(building.folder, target)
    target.with_name(f"{target.name}.json").write_bytes(building.opened.read_bytes())
    own = Building(target)
    pipeline.map_datasets(study, own, buckets=buckets)
    pipeline.finish_sdtm(study, own)
    return {
        name: told for name, told in contents(target).items() if not name.endswith((".ids.parquet", ".values.parquet"))
    }


def test_the_reference_study_has_the_same_bytes_in_any_number_of_buckets(
    staged: tuple[Study, Building], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Checks read the finished datasets, which are compared here.
    monkeypatch.setattr(pipeline, "_examine", lambda *_: [])
    monkeypatch.setattr(pipeline, "_engines", lambda *_: [])
    monkeypatch.setattr(pipeline, "_conforming", lambda *_: [])
    study, building = staged
    at_once = mapped(study, building, tmp_path / "one", 1)
    monkeypatch.setenv("CAIRN_WORKERS", "2")
    assert mapped(study, building, tmp_path / "two", 2) == at_once
    monkeypatch.setenv("CAIRN_WORKERS", "1")
    assert mapped(study, building, tmp_path / "three", 3) == at_once
    assert {"sdtm/lb.parquet", "sdtm/relrec.parquet", "parts/sdtm.lineage.parquet"} <= at_once.keys()


def test_every_row_is_in_one_bucket_and_a_subject_in_the_same_one_in_every_source(
    staged: tuple[Study, Building],
) -> None:
    _, building = staged
    sources = pipeline._StagedSources(*staged)
    owner: dict[str, int] = {}
    for name in ("lis", "vitals", "dm"):
        source = sources[name]
        rows = [bucket_rows(source, number, 3) for number in range(3)]
        assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(building.rows(f"staged/{name}")))
        assert all(len(one) for one in rows)
        for number, one in enumerate(rows):
            for subject in pd.unique(source.subjects.iloc[one]):
                assert owner.setdefault(subject, number) == number


def test_what_looks_across_subjects_is_made_after_the_join(staged: tuple[Study, Building]) -> None:
    """Trial summary counts subjects, relations join datasets (SDTMIG 3.4, 7.4 and 8.2); a trial design has none."""
    by_subject, free = apart(staged[0])
    assert {"DM", "LB", "AE", "SE", "SV", "EX"} <= by_subject
    assert {"TA", "TE", "TV", "TI"} <= free
    assert not {"TS", "RELREC"} & (by_subject | free)


def test_the_number_of_buckets_follows_the_rows_unless_it_is_given(
    staged: tuple[Study, Building], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAIRN_BUCKETS", raising=False)
    rows = sum(staged[1].rows(f"staged/{name}") for name in staged[0].sources)
    assert pipeline.bucket_count(*staged) == 1
    monkeypatch.setattr(pipeline, "BUCKET_ROWS", rows // 4 + 1)
    assert pipeline.bucket_count(*staged) == 4
    monkeypatch.setenv("CAIRN_BUCKETS", "7")
    assert pipeline.bucket_count(*staged) == 7
    monkeypatch.setenv("CAIRN_BUCKETS", "none")
    with pytest.raises(UsageError, match=r"CAIRN_BUCKETS is 'none'\. Write a whole number from 1"):
        pipeline.bucket_count(*staged)
