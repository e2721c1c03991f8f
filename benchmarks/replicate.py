"""More subjects: K copies of the pilot's extracts under new patient numbers.

python -m benchmarks.replicate RAW_DIR OUT_DIR K. The first copy is unchanged; in the others each site numbers its
patients on behind the numbers it has used, so that sites and formats stay valid.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.bare import read

FIRST_NUMBER = 1000


def main(raw: Path, out: Path, copies: int) -> None:
    """Write OUT_DIR with the same file names."""
    out.mkdir(parents=True, exist_ok=True)
    patients = sorted(set(read(raw / "dm_raw.csv")["PATNUM"]))
    by_site: dict[str, list[str]] = {}
    for patient in patients:
        by_site.setdefault(patient[:3], []).append(patient)
    numbers: list[dict[str, str]] = [{patient: patient for patient in patients}]
    used = {site: {patient[4:] for patient in members} for site, members in by_site.items()}
    for _ in range(1, copies):
        renamed = {}
        for site, members in by_site.items():
            free = (f"{number:04d}" for number in range(FIRST_NUMBER, 10_000))
            for member, number in zip(members, (one for one in free if one not in used[site]), strict=False):
                renamed[member] = f"{site}-{number}"
            used[site] |= {renamed[member][4:] for member in members}
        numbers.append(renamed)
    for path in sorted(raw.glob("*.csv")):
        frame = read(path)
        for copy, renamed in enumerate(numbers):
            shown = frame.assign(PATNUM=frame["PATNUM"].map(renamed)) if copy else frame
            shown.to_csv(out / path.name, mode="a" if copy else "w", header=not copy, index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
