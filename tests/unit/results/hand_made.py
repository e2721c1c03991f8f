"""Analysis datasets small enough to count by hand, and the analyses made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transforms.core import text
from transforms.results.engine import Analysed, analyse
from transforms.study.results import Results, ResultsFile, joined

KEYS = {
    "ADSL": ("USUBJID",),
    "ADAE": ("USUBJID", "ASTDT", "AESEQ"),
    "ADEFF": ("USUBJID", "PARAMCD", "AVISIT"),
    "ADTTE": ("USUBJID", "PARAMCD"),
}


def frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows as an analysis dataset: texts as categories, numbers float64, ISO dates datetime64[s]."""
    found = {}
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if name.endswith("DT"):
            found[name] = pd.Series(np.array([one or "NaT" for one in values], dtype="datetime64[s]"))
        elif any(isinstance(one, str) for one in values):
            found[name] = text.from_values(pd.Series(list(values), dtype=object))
        else:
            found[name] = pd.Series([np.nan if one is None else float(one) for one in values])
    return pd.DataFrame(found)


# Four subjects dosed with A, three with B; S8 failed screening.
ADSL = frame(
    ["STUDYID", "USUBJID", "SAFFL", "TRTAN", "SEX", "AGE", "BASECL", "DTHDAY", "TRTSDT", "DTHDT", "EOSDT"],
    [
        ("X", "X-1", "Y", 1, "F", 40, "A", None, "2024-01-01", None, "2024-01-31"),
        ("X", "X-2", "Y", 1, "M", 50, "B", None, "2024-01-01", None, "2024-01-31"),
        ("X", "X-3", "Y", 1, "M", 60, "B", 20, "2024-01-01", "2024-01-21", "2024-01-31"),
        ("X", "X-4", "Y", 1, "M", 54, "B", None, "2024-01-01", None, "2024-01-31"),
        ("X", "X-5", "Y", 2, "F", 33, "A", None, "2024-02-01", None, "2024-03-01"),
        ("X", "X-6", "Y", 2, "F", 45, "C", None, "2024-02-01", None, "2024-03-01"),
        ("X", "X-7", "Y", 2, None, 61, "C", None, "2024-02-01", None, "2024-03-01"),
        ("X", "X-8", "N", None, "M", 70, None, None, None, None, None),
    ],
)
ADAE = frame(
    ["STUDYID", "USUBJID", "AESEQ", "SOC", "TERM", "GRADE", "REL", "ASTDT", "TRTEMFL"],
    [
        ("X", "X-1", 1, "Skin", "Rash", 1, "RELATED", "2024-01-03", "Y"),
        ("X", "X-1", 2, "Skin", "Rash", 3, "NOT", "2024-01-09", "Y"),
        ("X", "X-2", 1, "Skin", "Itch", 2, "RELATED", "2024-01-04", "Y"),
        ("X", "X-2", 2, "Liver", "Jaundice", 2, "NOT", "2024-01-05", "Y"),
        ("X", "X-5", 1, "Skin", "Rash", 2, "RELATED", "2024-02-02", "Y"),
        ("X", "X-5", 2, "Skin", "Rash", 2, "RELATED", "2024-02-12", "Y"),
        ("X", "X-6", 1, "Liver", "Jaundice", 1, "NOT", "2024-01-02", None),
        ("X", "X-8", 1, "Liver", "Jaundice", 4, "NOT", "2024-01-02", "Y"),
    ],
)
ADEFF = frame(
    ["STUDYID", "USUBJID", "PARAMCD", "AVISIT", "AVISITN", "AVAL", "BASE", "CHG", "CLASS", "BCLASS"],
    [
        ("X", "X-1", "SCORE", "Month 1", 1, 12, 10, 2, "A", "A"),
        ("X", "X-2", "SCORE", "Month 1", 1, 9, 12, -3, "B", "B"),
        ("X", "X-5", "SCORE", "Month 1", 1, 15, 11, 4, "B", "A"),
        ("X", "X-6", "SCORE", "Month 1", 1, 20, 20, 0, "C", "C"),
        ("X", "X-1", "SCORE", "Month 2", 2, 14, 10, 4, "A", "A"),
        ("X", "X-5", "SCORE", "Month 2", 2, None, 11, None, None, "A"),
    ],
)
ADTTE = frame(
    ["STUDYID", "USUBJID", "PARAMCD", "AVAL", "CNSR"],
    [(("X"), f"X-{number}", "OS", days, censored) for number, days, censored in (
        (1, 31, 1), (2, 31, 1), (3, 21, 0), (4, 31, 1), (5, 30, 1), (6, 12, 0), (7, 8, 1))],
)  # fmt: skip
FRAMES = {"ADSL": ADSL, "ADAE": ADAE, "ADEFF": ADEFF, "ADTTE": ADTTE}
SHARED: dict[str, Any] = {
    "analysis_sets": {"SAFETY": {"label": "Safety set", "where": {"SAFFL": "Y"}}, "ALL": {"label": "Everyone"}},
    "groupings": {
        "ARMS": {
            "label": "Arm",
            "groups": [
                {"id": "A", "label": "Arm A", "where": {"TRTAN": 1}},
                {"id": "B", "label": "Arm B", "where": {"TRTAN": 2}},
            ],
            "total": {"id": "TOTAL", "label": "Total"},
        },
        "POOLED": {"label": "All", "total": {}},
    },
    "data_subsets": {"EMERGENT": {"dataset": "ADAE", "where": {"TRTEMFL": "Y"}}},
}


def results_of(outputs: Mapping[str, Any]) -> Results:
    """Outputs over the shared sets, groupings and subsets."""
    found, twice = joined([("results/x.yml", ResultsFile.model_validate({**SHARED, "outputs": outputs}))])
    assert not list(twice)
    return found


def made(*analyses: Mapping[str, Any], **output: Any) -> Analysed:
    """Some analyses of the hand-made datasets, in the safety set by arm."""
    content = {"title": "An output", "population": "SAFETY", "columns": "ARMS", "analyses": list(analyses), **output}
    return analyse(results_of({"T1": content}), FRAMES, KEYS)


def values(found: Analysed, statistic: str = "n", group: str | None = None) -> dict[tuple[str, ...], Any]:
    """One statistic by group and the labels of its levels."""
    cells = {}
    for row in found.results.to_pylist():
        if row["statistic"] == statistic and row["analysis_order"] and group in {None, row["group_id"]}:
            labels = [row[f"level_{n}_label"] or row[f"level_{n}"] for n in (1, 2, 3, 4) if row[f"level_{n}_variable"]]
            cells[(*(() if group else (row["group_id"],)), *labels)] = row["value"]
    return cells
