"""More subjects: K copies of the pilot's SDTM datasets, every subject of a copy under a USUBJID of its own.

    python -m benchmarks.replicate_sdtm SDTM_DIR OUT_DIR K

The first copy is unchanged; datasets of no subject (trial design) are copied as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def main(sdtm: Path, out: Path, copies: int) -> None:
    """Write OUT_DIR with the same file names."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(sdtm.glob("*.parquet")):
        table = pq.read_table(path)
        if "USUBJID" in table.column_names:
            place = table.column_names.index("USUBJID")
            field, subjects = table.schema.field(place), table["USUBJID"]
            renamed = (pc.binary_join_element_wise(subjects, str(copy), "-") for copy in range(2, copies + 1))
            table = pa.concat_tables([table, *(table.set_column(place, field, column) for column in renamed)])
        pq.write_table(table, out / path.name, compression="zstd")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
