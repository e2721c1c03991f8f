"""What a whole run of the CDISC pilot costs, stage by stage, and what part of it the checks are.

    python -m benchmarks.pipeline RAW_DIR

Aims: the checks cost at most as much CPU as staging and mapping; at most 2 GB of memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT

MAPPING = ("stage", "write staged", "map", "join lineage", "derive")
AIM_MIB = 2048


def main(raw: Path) -> int:
    """Run the pilot twice, since the first run also compiles its imports; print the second, and return 1 off an aim."""
    with tempfile.TemporaryDirectory(prefix="cairn-benchmark-") as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
        for number in range(2):
            command = [sys.executable, "-m", "benchmarks.stages", "cdiscpilot01", str(raw), f"{folder}/home{number}"]
            done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    spent = result["cpu"]
    total = sum(spent.values())
    for stage, seconds in spent.items():
        print(f"{stage:34s} {seconds:6.2f} CPU s  {seconds / total:5.0%}")
    checks, mapping = spent["Great Expectations"], sum(spent[stage] for stage in MAPPING)
    print(f"{'total':34s} {total:6.2f} CPU s        peak {result['peak']:,.0f} MiB (aim {AIM_MIB:,})")
    print(f"checks / staging, mapping and deriving: {checks:.2f} / {mapping:.2f} = {checks / mapping:.2f} (aim 1)")
    return int(checks > mapping or result["peak"] > AIM_MIB)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
