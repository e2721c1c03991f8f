"""Albumin-bilirubin score and grade. Johnson et al., Journal of Clinical Oncology 2015;33:550."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.clinical.inputs import finite, positive, shared_index
from transforms.core.numbers import round_significant

GRADE_1_TO = -2.60
GRADE_2_TO = -1.39


def compute_albi(*, bilirubin_umol_l: pd.Series, albumin_g_l: pd.Series) -> pd.Series:
    """ALBI score, not rounded: 0.66 log10(bilirubin in umol/L) - 0.085 x albumin in g/L.

    No input is bounded; the lower, the better. Missing where an input is missing or not above 0.
    """
    index = shared_index(bilirubin_umol_l=bilirubin_umol_l, albumin_g_l=albumin_g_l)
    bilirubin = positive("bilirubin_umol_l", bilirubin_umol_l)
    return pd.Series(0.66 * np.log10(bilirubin) - 0.085 * positive("albumin_g_l", albumin_g_l), index=index)


def compute_albi_grade(*, albi: pd.Series) -> pd.Series:
    """ALBI grade of an unrounded score: 1 up to -2.60, 2 above it up to -1.39, 3 above that.

    Never of a score rounded for display: -1.385 is grade 3 and prints as -1.39. Scores are compared with the
    cut-offs at 12 significant digits.
    """
    index = shared_index(albi=albi)
    score = round_significant(finite("albi", albi))
    grade = 1.0 + (score > GRADE_1_TO) + (score > GRADE_2_TO)
    return pd.Series(np.where(np.isnan(score), np.nan, grade), index=index)
