"""More subjects: K copies of the pilot's extracts under new patient numbers.

    python -m benchmarks.replicate RAW_DIR OUT_DIR K

The first copy is unchanged. In the others each site numbers its patients on, from the numbers it has not
used, so that sites and formats stay valid, and accession numbers end in the number of the copy: no two
patients share one.
"""

from __future__ import annotations

import sys
from pathlib import Path

FIRST_NUMBER = 1000


def renumbered(patients: list[str], copies: int) -> list[dict[str, str]]:
    """For each further copy, the new number of every patient; ValueError where a site runs out of numbers."""
    by_site: dict[str, list[str]] = {}
    for patient in patients:
        by_site.setdefault(patient[:3], []).append(patient)
    numbers: list[dict[str, str]] = [{} for _ in range(copies - 1)]
    for site, members in by_site.items():
        used = {member[4:] for member in members}
        free = (number for number in map("{:04d}".format, range(FIRST_NUMBER, 10_000)) if number not in used)
        for renamed in numbers:
            for member in members:
                number = next(free, None)
                if number is None:
                    raise ValueError(f"site {site} has no free patient numbers for {copies} copies")
                renamed[member] = f"{site}-{number}"
    return numbers


def main(raw: Path, out: Path, copies: int) -> None:
    """Write OUT_DIR with the same file names."""
    out.mkdir(parents=True, exist_ok=True)
    extracts: dict[str, tuple[str, list[list[str]]]] = {}
    for path in sorted(raw.glob("*.csv")):
        header, *texts = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if not header.startswith("STUDY,PATNUM,"):
            raise ValueError(f"{path.name} does not begin with STUDY and PATNUM")
        extracts[path.name] = header, [text.split(",", 2) for text in texts]
    patients = sorted({patient for _, patient, _ in extracts["dm_raw.csv"][1]})
    numbers = renumbered(patients, copies)
    for name, (header, lines) in extracts.items():
        with (out / name).open("w", encoding="utf-8", newline="") as file:
            file.write(header)
            file.writelines(",".join(line) for line in lines)
            for copy, renamed in enumerate(numbers, start=2):
                if header.startswith("STUDY,PATNUM,ACCESSION,"):
                    parted = ((study, patient, rest.partition(",")) for study, patient, rest in lines)
                    file.writelines(
                        f"{study},{renamed[patient]},{accession}-{copy},{rest}"
                        for study, patient, (accession, _, rest) in parted
                    )
                else:
                    file.writelines(f"{study},{renamed[patient]},{rest}" for study, patient, rest in lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
