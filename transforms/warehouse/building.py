"""A snapshot while it is built: a folder that the stages write into, file by file, each whole or not there.

warehouse/<study>/building/<name>/        staged/, sdtm/, adam/ as in the snapshot, and parts/ joined at the end
warehouse/<study>/building/<name>.json    what the snapshot is made of, until it is published
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import CairnError
from transforms.warehouse import parquet
from transforms.warehouse.snapshots import write_json


class NotBuildingError(CairnError):
    """A stage was asked to go on with a snapshot that is not being built, or whose earlier stage left nothing."""


class Building:
    """The folder of one snapshot that is being built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened = folder.with_name(f"{folder.name}.json")

    def begin(self, opening: Mapping[str, Any]) -> None:
        """Start anew with what the snapshot is made of."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "parts").mkdir(parents=True)
        write_json(self.opened, opening)

    def opening(self) -> dict[str, Any]:
        """What the snapshot is made of. Raises NotBuildingError when it was never begun."""
        try:
            content: dict[str, Any] = json.loads(self.opened.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotBuildingError(
                f"snapshot {self.folder.name} is not being built: it is finished, or its run was given up. Run again"
            ) from error
        return content

    def write(self, name: str, table: pa.Table) -> None:
        """Write a table under a name such as `sdtm/lb`; a reader sees all of it or nothing."""
        self.write_parts(name, [table], table.schema)

    def write_parts(self, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Write one table after the other under one name."""
        path = self.folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            parquet.write_parts(tables, partial, schema)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def copy(self, name: str, target: str) -> None:
        """A table written before under another name as well."""
        path, partial = self.folder / f"{target}.parquet", self.folder / f"{target}.parquet.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path(name), partial)
        partial.replace(path)

    def path(self, name: str) -> Path:
        """Where a table written before is. Raises NotBuildingError naming what is missing."""
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise NotBuildingError(
                f"snapshot {self.folder.name}: {name} was not written; an earlier step did not end. Run it again"
            )
        return path

    def read(self, name: str) -> pa.Table:
        """A table written before."""
        return pq.read_table(self.path(name))

    def encoded(self, name: str, columns: Collection[str] | None = None) -> pa.Table:
        """A table written before, its texts dictionary-encoded; with `columns`, those of them that it has."""
        return parquet.read_encoded(self.path(name), columns)

    def parts(self, name: str) -> Iterator[pa.Table]:
        """A table written before, in parts that fit into memory."""
        with pq.ParquetFile(self.path(name)) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)

    def rows(self, name: str) -> int:
        """How many rows a table written before has."""
        return int(pq.read_metadata(self.path(name)).num_rows)

    def frame(self, name: str, columns: Collection[str] | None = None) -> pd.DataFrame:
        """A table written before, as a frame; with `columns`, those of them that it has."""
        return parquet.read_frame(self.path(name), columns)

    def columns(self, name: str, names: Mapping[str, str] | None = None) -> parquet.Columns:
        """A table written before, as a frame that is read column by column; `names` are other names of columns."""
        return parquet.Columns(self.path(name), names)

    def names(self, part: str, ending: str = "") -> list[str]:
        """The tables written in one folder, by name; with `ending`, those of that last part of the name."""
        paths = sorted((self.folder / part).glob(f"*{ending}.parquet"))
        return [path.name.removesuffix(".parquet") for path in paths if not path.name.startswith(".")]

    def discard(self) -> None:
        """Remove the folder; what the snapshot is made of stays until `published`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def published(self) -> None:
        """Nothing of the building is needed any more."""
        self.discard()
        self.opened.unlink(missing_ok=True)
