"""Derive one analysis dataset of cdiscpilot01 with the engine, from SDTM to ADaM in Parquet, in this process.

    python -m benchmarks.derive_one SDTM_DIR OUT_DIR ADLB [--without-checks]

The same deriving, lineage, metadata, findings and writing as in `./cairn run`, and the same checks. ADSL, which every
other dataset needs, is derived and written too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transforms import pipeline
from transforms.study import Study
from transforms.validation.check import examine
from transforms.validation.rules import rule_book
from transforms.warehouse.building import Building


def main(sdtm: Path, out: Path, wanted: str, checks: bool = True) -> int:
    """Write OUT_DIR/adam/<dataset>.parquet and what belongs to it; the number of breaches of the study's rules."""
    study = Study.load("cdiscpilot01")
    building = Building(out)
    building.begin({"cut_off": "2015-12-31"})
    (building.folder / "sdtm").symlink_to(sdtm.resolve())
    names = dict.fromkeys(("ADSL", wanted))
    pipeline.derive_datasets(study, building, only=names)
    if not checks:
        return 0
    frames = {name: building.columns(f"adam/{name.lower()}") for name in names}
    examined = examine(frames, {name: rule_book(study).adam[name] for name in names})
    return sum(len(one.breaches) for one in examined)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sdtm", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--without-checks", action="store_true")
    options = parser.parse_args()
    main(options.sdtm, options.out, options.dataset, not options.without_checks)
