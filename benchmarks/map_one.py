"""Map one dataset of cdiscpilot01 with the engine, from raw files to Parquet, in this process.

    python -m benchmarks.map_one RAW_DIR OUT_DIR VS

The same reading, staging, mapping, lineage and writing as in `./cairn run`, for what the one dataset needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from transforms import findings, ingest, snapshot
from transforms.deliveries import direct_identifiers
from transforms.sdtm.engine import map_study
from transforms.staging.stage import RawFile, stage
from transforms.study import Study, graph
from transforms.warehouse import parquet


def main(raw: Path, out: Path, wanted: str) -> None:
    """Write OUT_DIR/<dataset>.parquet, lineage.parquet and findings.parquet."""
    out.mkdir(parents=True, exist_ok=True)
    study = Study.load("cdiscpilot01")
    needs = graph.dependencies(study)
    datasets = {name for name, _ in graph.order(needs, [node for node in needs if node[0] == wanted])}
    sources = {group.source for name in datasets for group in study.datasets[name].records if group.source}
    staged = {}
    identifiers = direct_identifiers()
    for name in sorted(sources):
        source = study.sources[name]
        extracts, _ = ingest.read_extracts(study, [source], raw / source.files, source.files)
        staged[name] = stage(
            source, [RawFile(source.files, "", extracts[name])], cut_off="2015-12-31", identifiers=identifiers
        )
    sources_read = {name: snapshot.staged_source(snapshot.staged_table(study, one)) for name, one in staged.items()}
    mapped = map_study(study, sources_read, only=[wanted], cut_off="2015-12-31")
    dataset = mapped.datasets[wanted]
    parquet.write(snapshot.dataset_table(study, dataset), out / f"{wanted.lower()}.parquet")
    links = [snapshot.record_lineage(dataset), snapshot.value_lineage(dataset)]
    parquet.write(pa.concat_tables(links), out / "lineage.parquet")
    found = [*mapped.findings, *(one for source in staged.values() for one in source.findings)]
    parquet.write(findings.to_arrow(found), out / "findings.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
