"""Karnofsky Performance Status. Karnofsky and Burchenal, in: Evaluation of Chemotherapeutic Agents, 1949:191."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.clinical.inputs import finite, shared_index


def is_karnofsky_score(*, score: pd.Series) -> pd.Series:
    """Whether a number is a Karnofsky score, a multiple of 10 from 0 (dead) to 100; nullable boolean, missing kept.

    0 belongs to a death only; whether the subject died is for a check that sees it.
    """
    index = shared_index(score=score)
    finite("score", score)
    result = pd.Series(np.isin(score.to_numpy(dtype=float, na_value=np.nan), range(0, 101, 10)), index=index)
    return result.astype("boolean").mask(score.isna())
