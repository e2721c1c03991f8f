"""The published list of CTCAE v5.0 terms is whole, and what names terms names those of the list."""

from __future__ import annotations

import csv
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from synthetic import care, events

MAPPINGS = Path(__file__).resolve().parents[2] / "cdisc_mappings"
PUBLISHED = MAPPINGS / "standards" / "ctcae-5.0"
TABLES = MAPPINGS / "ucmsc_dac" / "tables"
# Terms of each class, counted in the spreadsheet that NCI published with the document.
CLASSES = {
    "Blood and lymphatic system disorders": 12,
    "Cardiac disorders": 34,
    "Congenital, familial and genetic disorders": 1,
    "Ear and labyrinth disorders": 8,
    "Endocrine disorders": 14,
    "Eye disorders": 26,
    "Gastrointestinal disorders": 122,
    "General disorders and administration site conditions": 25,
    "Hepatobiliary disorders": 18,
    "Immune system disorders": 6,
    "Infections and infestations": 88,
    "Injury, poisoning and procedural complications": 79,
    "Investigations": 42,
    "Metabolism and nutrition disorders": 26,
    "Musculoskeletal and connective tissue disorders": 44,
    "Neoplasms benign, malignant and unspecified (incl cysts and polyps)": 7,
    "Nervous system disorders": 68,
    "Pregnancy, puerperium and perinatal conditions": 4,
    "Psychiatric disorders": 21,
    "Renal and urinary disorders": 23,
    "Reproductive system and breast disorders": 49,
    "Respiratory, thoracic and mediastinal disorders": 62,
    "Skin and subcutaneous tissue disorders": 39,
    "Social circumstances": 1,
    "Surgical and medical procedures": 1,
    "Vascular disorders": 17,
}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def published() -> list[dict[str, str]]:
    return read(PUBLISHED / "adverse_events.csv")


@pytest.fixture(scope="module")
def classes(published: list[dict[str, str]]) -> dict[str, str]:
    return {row["TERM"]: row["SOC"] for row in published}


def test_the_list_has_each_term_of_each_class_once(published: list[dict[str, str]]) -> None:
    assert [tuple(row) for row in published[:1]] == [("SOC", "TERM")]
    assert len({row["TERM"].lower() for row in published}) == len(published) == 837
    assert Counter(row["SOC"] for row in published) == CLASSES and len(CLASSES) == 26
    order = [(row["SOC"].lower(), row["TERM"].lower()) for row in published]
    assert order == sorted(order)
    for name in CLASSES:
        # The document drops an s in one of them.
        other = f"{name} - Other, specify".replace("connective tissue disorders -", "connective tissue disorder -")
        assert {"SOC": name, "TERM": other} in published


def test_the_list_is_that_of_version_5(classes: dict[str, str]) -> None:
    """Terms and classes that came with v5.0, and terms of v4.03 that it no longer has."""
    new = {"Generalized edema", "Eosinophilia", "Lipohypertrophy", "Tumor hemorrhage", "Budd-Chiari syndrome", "Thrush"}
    assert new <= set(classes)
    assert not {"Spleen disorder", "Acute coronary syndrome", "External ear inflammation", "Menopause"} & set(classes)
    assert classes["Infusion related reaction"] == "Injury, poisoning and procedural complications"
    assert classes["Periorbital edema"] == "Eye disorders"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (PUBLISHED / "terms.csv", "term"),
        (PUBLISHED / "criteria.csv", "term"),
        (PUBLISHED / "units.csv", "term"),
        (TABLES / "special_interest.csv", "AEDECOD"),
        (TABLES / "lab_events.csv", "TERM"),
        (TABLES / "lab_companions.csv", "TERM"),
    ],
    ids=lambda one: one.stem if isinstance(one, Path) else one,
)
def test_a_table_names_terms_of_the_list(table: Path, column: str, classes: dict[str, str]) -> None:
    named = {row[column] for row in read(table)}
    assert named and named - set(classes) == set()


def test_query_lists_name_terms_and_classes_of_the_list(classes: dict[str, str]) -> None:
    """A pattern fits at least one of them, whatever its case."""
    known = {"AEDECOD": set(classes), "AEBODSYS": set(classes.values())}
    for row in read(TABLES / "adam_queries.csv"):
        term = row["TERM"]
        if "*" in term:
            assert any(fnmatchcase(one.lower(), term.lower()) for one in known[row["VARIABLE"]]), row
        else:
            assert term in known[row["VARIABLE"]], row


def test_synthetic_events_have_terms_of_the_list_under_their_class(classes: dict[str, str]) -> None:
    kinds = []
    for one in vars(events).values():
        several = one.values() if isinstance(one, dict) else one if isinstance(one, tuple) else [one]
        kinds += [kind for kind in several if isinstance(kind, events.EventKind)]
    assert len(kinds) > 30
    assert {kind.ctcae: kind.soc for kind in kinds if classes.get(kind.ctcae) != kind.soc} == {}
    assert set(care.TREATMENTS) - set(classes) == set()
