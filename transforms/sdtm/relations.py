"""RELREC: which records, groups of records or datasets belong together, by variables that hold the same value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import conditions, numbers, text
from transforms.sdtm.finish import record_order, sequence_numbers
from transforms.sdtm.records import Records
from transforms.study import Study, graph
from transforms.study.models import DatasetFile, Related, Relation


def related_records(study: Study, dataset: DatasetFile, frames: Mapping[str, pd.DataFrame]) -> Records:
    """One record for each dataset of a relation of datasets, and for each record of a relation of records.

    A relation of records is numbered within the subject (AECM1, AECM2, ...) in the order of the records of its first
    dataset, and names each record by its sequence number, which it will have when its dataset is finished. A relation
    of datasets stands only where each of them has a record with its variable filled. Source: SDTMIG 3.4, section 8.2.
    """
    parts = [
        _datasets(relation, frames) if relation.datasets else _records(study, relation, frames)
        for relation in dataset.relations
    ]
    rows = pd.concat([pd.DataFrame(columns=["dataset", "record", *graph.RELATION_VARIABLES]), *parts])
    index = pd.RangeIndex(len(rows))
    rows = rows.set_axis(index).assign(STUDYID=study.file.studyid)
    none = np.empty(0, dtype=np.int64)
    records = Records(
        dataset.name,
        pd.DataFrame({name: text.from_values(rows[name]) for name in graph.RELATION_VARIABLES}, index=index),
        [],
        np.full(len(rows), -1, dtype=np.int64),
        np.full(len(rows), -1, dtype=np.int64),
        entries=np.full(len(rows), -1, dtype=np.int64) if len(rows) else none,
        held=np.zeros(len(rows), dtype=bool),
    )
    for name in rows["dataset"].dropna().unique():
        ids = np.where(rows["dataset"] == name, rows["record"].fillna(-1).to_numpy(), -1).astype(np.int64)
        records.links.setdefault("USUBJID", []).append(Link(name, ids, "USUBJID"))
        records.links.setdefault("IDVARVAL", []).append(Link(name, ids, graph.sequence_variable(study, name)))
    return records


def _datasets(relation: Relation, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if not all(frames[name][variable].notna().any() for name, variable in relation.datasets.items()):
        return pd.DataFrame()
    return pd.DataFrame(
        {"RDOMAIN": name, "IDVAR": variable, "RELTYPE": relation.types[name], "RELID": relation.relid}
        for name, variable in relation.datasets.items()
    )


def _records(study: Study, relation: Relation, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [
        _candidates(study, name, related, frames[name]).assign(place=place)
        for place, (name, related) in enumerate(relation.records.items())
    ]
    found = pd.concat(parts, ignore_index=True)
    groups = found.groupby(["USUBJID", "value"], sort=False)
    found = found[groups["place"].transform("nunique") == len(parts)].sort_values(
        ["USUBJID", "place", "number"], kind="stable"
    )
    firsts = found[["USUBJID", "value"]].drop_duplicates()
    order = firsts.groupby("USUBJID", sort=False).cumcount() + 1
    relid = dict(zip(zip(firsts["USUBJID"], firsts["value"], strict=True), order, strict=True))
    keys = zip(found["USUBJID"], found["value"], strict=True)
    return found.assign(
        RELID=[f"{relation.relid}{relid[key]}" for key in keys],
        IDVARVAL=[numbers.number_text(number) for number in found["number"]],
    )


def _candidates(study: Study, name: str, related: Related, frame: pd.DataFrame) -> pd.DataFrame:
    """The records of a dataset that may be related, with the value that relates them and their sequence number."""
    ordered = frame.iloc[record_order(frame, study.datasets[name].keys)]
    numbered = sequence_numbers(ordered["USUBJID"])
    keep = conditions.rows(related.where, lambda one: ordered[one], ordered.index)
    if related.match is not None:
        keep &= ordered[related.match].notna().to_numpy()
    chosen = ordered[keep]
    return pd.DataFrame(
        {
            "dataset": name,
            "record": chosen.index.to_numpy(),
            "RDOMAIN": name,
            "USUBJID": chosen["USUBJID"].astype(object),
            "IDVAR": graph.sequence_variable(study, name),
            "value": "" if related.match is None else chosen[related.match].astype(object),
            "number": numbered[keep].to_numpy(),
        }
    )
