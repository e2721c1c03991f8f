"""SE: the elements each subject passed through, from dates that the specification names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from transforms.core import conditions, text
from transforms.sdtm.algorithm import Link
from transforms.sdtm.records import Origin, Records
from transforms.study import Study
from transforms.study.models import DatasetFile, DateRule, Elements


def element_records(study: Study, dataset: DatasetFile, frames: Mapping[str, pd.DataFrame]) -> Records:
    """One record for each element a subject started, in planned order, ending where the next one starts.

    An element is started when its start rule gives a date, the subject's arm is among `arms` where that is
    given, and its `reached` and `before` rules hold; an element listed earlier that starts later is not. The last element ends by its
    own end rule; every other one ends at the next start. Source: SDTMIG 3.4, SE assumptions.
    """
    rules = dataset.elements
    if rules is None:
        raise ValueError(f"{dataset.name} has no elements")
    dm = frames["DM"]
    subjects = list(dm["USUBJID"].astype(object))
    arms = [
        actual
        if isinstance(actual, str) and rules.arm == "actual"
        else planned
        if isinstance(planned, str)
        else ""
        for actual, planned in zip(dm["ACTARMCD"].astype(object), dm["ARMCD"].astype(object), strict=True)
    ]
    starts = [_dates(rule.start, frames) for rule in rules.elements]
    ends = [_dates(rule.end, frames) if rule.end else {} for rule in rules.elements]
    before = [_dates(rule.before, frames) if rule.before else None for rule in rules.elements]
    reached = [_dates(rule.reached, frames) if rule.reached else None for rule in rules.elements]
    rows: list[tuple[int, str, str, str | None]] = []
    for row, subject in enumerate(subjects):
        passed: list[tuple[int, str]] = []
        for number, element in enumerate(rules.elements):
            start = starts[number].get(subject)
            if start is None or (element.arms and arms[row] not in element.arms):
                continue
            if (entry := reached[number]) is not None and subject not in entry:
                continue
            if (limit := before[number]) is not None and not start < limit.get(subject, ""):
                continue
            while passed and passed[-1][1] > start:
                passed.pop()
            passed.append((number, start))
        for place, (number, start) in enumerate(passed):
            following = passed[place + 1][1] if place + 1 < len(passed) else ends[number].get(subject)
            rows.append((row, rules.elements[number].etcd, start, following))
    return _records(study, dataset, rules, dm, arms, rows)


def _dates(rule: DateRule, frames: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The rule's date for each subject that has one."""
    source = rule.subject or rule.earliest or rule.latest or ""
    name, variable = source.split(".")
    frame = frames[name]
    keep = conditions.rows(rule.where, lambda one: frame[one], frame.index) & frame[variable].notna().to_numpy()
    found = pd.Series(frame[variable][keep].astype(object).to_numpy(), index=frame["USUBJID"][keep].astype(object))
    grouped = found.groupby(level=0, observed=True)
    result: dict[str, str] = (grouped.max() if rule.latest else grouped.min()).to_dict()
    return result


def _records(
    study: Study,
    dataset: DatasetFile,
    rules: Elements,
    dm: pd.DataFrame,
    arms: list[str],
    rows: list[tuple[int, str, str, str | None]],
) -> Records:
    elements = study.tables[rules.te].keyed(["ETCD"], "ELEMENT")
    plan = study.tables[rules.ta]
    orders = plan.keyed(["ARMCD", "ETCD"], "TAETORD")
    epochs = plan.keyed(["ARMCD", "ETCD"], "EPOCH")
    any_epoch = plan.keyed(["ETCD"], "EPOCH")
    index = pd.RangeIndex(len(rows))
    owners = np.array([row for row, *_ in rows], dtype=np.int64)
    keys = [(arms[row], etcd) for row, etcd, *_ in rows]
    usubjid = dm["USUBJID"]
    columns = {
        "STUDYID": text.constant(study.file.studyid, index),
        "DOMAIN": text.constant(dataset.name, index),
        "USUBJID": text.column(usubjid.cat.codes.to_numpy()[owners], text.texts_of(usubjid), index),
        "ETCD": text.from_values([etcd for _, etcd, *_ in rows], index),
        "ELEMENT": text.from_values([elements.get((etcd,)) for _, etcd, *_ in rows], index),
        "TAETORD": pd.Series([float(orders[key]) if key in orders else np.nan for key in keys], index=index, dtype=float),
        "EPOCH": text.from_values([epochs.get(key) or any_epoch.get((key[1],)) for key in keys], index),
        "SESTDTC": text.from_values([start for *_, start, _ in rows], index),
        "SEENDTC": text.from_values([end for *_, end in rows], index),
    }
    lines = np.array([plan.lines[plan.values("ETCD").index(etcd)] if etcd in plan.values("ETCD") else 1 for _, etcd, *_ in rows], dtype=np.int64)
    origin = Origin(plan.file, (plan.file,), np.zeros(len(rows), dtype=np.int64), lines, True)
    records = Records(
        dataset.name,
        pd.DataFrame(columns, index=index),
        [origin],
        np.zeros(len(rows), dtype=np.int64),
        np.arange(len(rows), dtype=np.int64),
        held=np.zeros(len(rows), dtype=bool),
    )
    for variable in ("SESTDTC", "SEENDTC", "ETCD"):
        records.links[variable] = [Link("DM", dm.index.to_numpy()[owners])]
    return records
