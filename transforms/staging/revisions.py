"""Which of several versions of a result stands, and what becomes of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

PRELIMINARY, FINAL, CORRECTED, CANCELLED, UNKNOWN = 0, 1, 2, 3, -1
# What becomes of a row: the outcome and its rule; a row that stands has neither.
STANDS, EARLIER, BEFORE_FINAL, OF_CANCELLED, LATER_FILE, PENDING, CANCELS, AMBIGUOUS, UNREADABLE = range(9)
OUTCOMES = {
    EARLIER: ("superseded", "earlier_revision"),
    BEFORE_FINAL: ("superseded", "preliminary"),
    OF_CANCELLED: ("superseded", "cancelled_result"),
    LATER_FILE: ("superseded", "later_file"),
    PENDING: ("excluded", "preliminary_only"),
    CANCELS: ("excluded", "cancelled_result"),
    AMBIGUOUS: ("quarantined", "ambiguous_revision"),
    UNREADABLE: ("quarantined", "unreadable_revision"),
}


@dataclass(frozen=True)
class Standing:
    """For each row what becomes of it, and the position of the row that stands in its place (-1 for none)."""

    fate: np.ndarray
    by: np.ndarray


def standing(records: np.ndarray, numbers: np.ndarray, states: np.ndarray, files: np.ndarray) -> Standing:
    """Which version of each record stands.

    `records` are codes of what is revised, `numbers` the revisions (NaN where unreadable), `states` one of the
    constants above, `files` the order of the files. The last final or corrected one stands. Of one number a corrected
    one is later than a final one, since a sender may correct without counting, and a cancellation, which leaves no
    result, later than both. Two of the same number, state and file stand both in doubt, and where one version cannot
    be placed none of its record can.
    """
    size = len(records)
    fate, by = np.full(size, STANDS), np.full(size, -1)
    if not size:
        return Standing(fate, by)
    rows = pd.DataFrame({"record": records, "number": numbers, "state": states, "file": files})
    settled = rows[rows["state"] >= FINAL]
    ordered = settled.sort_values(["record", "number", "state", "file"], kind="stable")
    last = ordered.groupby("record").tail(1)
    position = pd.Series(last.index.to_numpy(), index=last["record"].to_numpy()).reindex(records)
    none = position.isna().to_numpy()
    own = position.fillna(0).to_numpy().astype(np.int64)
    number, state, file = (rows[name].to_numpy() for name in ("number", "state", "file"))
    same = (number == number[own]) & (state == state[own])
    preliminary = state == PRELIMINARY
    superseded = ~none & (np.arange(size) != own)
    replaced = np.where(state[own] == CANCELLED, OF_CANCELLED, EARLIER)
    fate[superseded] = replaced[superseded]
    fate[superseded & same & (file < file[own])] = LATER_FILE
    fate[superseded & preliminary & (state[own] != CANCELLED)] = BEFORE_FINAL
    twins = superseded & same & (file == file[own])
    results = (state == FINAL) | (state == CORRECTED)
    fate[twins & results] = AMBIGUOUS
    doubtful = np.zeros(int(records.max()) + 1, dtype=bool)
    doubtful[records[twins & results]] = True
    fate[~superseded & ~none & doubtful[records]] = AMBIGUOUS
    fate[~superseded & ~none & ~doubtful[records] & (state[own] == CANCELLED)] = CANCELS
    fate[twins & (state == CANCELLED)] = CANCELS
    fate[preliminary & (none | (number > number[own]))] = PENDING
    lost = np.zeros(int(records.max()) + 1, dtype=bool)
    lost[records[(state == UNKNOWN) | np.isnan(number)]] = True
    fate[lost[records]] = UNREADABLE
    linked = np.isin(fate, (EARLIER, BEFORE_FINAL, OF_CANCELLED, LATER_FILE))
    by[linked] = own[linked]
    return Standing(fate, by)
