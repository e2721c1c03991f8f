"""Labels of datasets and variables in English and Chinese, from tables keyed by the English label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transforms.core.tables import read_table
from transforms.submission.define.codelists import STANDARDS
from transforms.submission.define.model import Label

TABLE = "labels_zh.csv"
SUPPLEMENTAL = "Supplemental Qualifiers for "


@dataclass(frozen=True)
class Labels:
    """Chinese labels by English label; a study's table `tables/labels_zh.csv` goes before the shared one."""

    chinese: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, study: Path) -> Labels:
        """The shared labels and those of the study in a folder."""
        found: dict[str, str] = {}
        for path in (STANDARDS / TABLE, study / "tables" / TABLE):
            if path.is_file():
                table = read_table(path, path.name)
                found.update(zip(table.values("label"), table.values("label_zh"), strict=True))
        return cls(found)

    def of(self, label: str) -> Label:
        """A label with its Chinese one."""
        return Label(label, self.chinese.get(label))

    def of_dataset(self, label: str) -> Label:
        """The label of a dataset; that of supplemental qualifiers names the dataset they belong to."""
        if label.startswith(SUPPLEMENTAL) and label not in self.chinese:
            parent = label.removeprefix(SUPPLEMENTAL)
            general = self.chinese.get(f"{SUPPLEMENTAL}--")
            return Label(label, general.replace("--", parent) if general else None)
        return Label(label, self.chinese.get(label))
