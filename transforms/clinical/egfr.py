"""Estimated glomerular filtration rate. Inker et al., New England Journal of Medicine 2021;385:1737."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.clinical.inputs import finite, positive, shared_index, truth

ADULT_FROM_YEARS = 18


def compute_egfr_ckd_epi_2021(*, creatinine_mg_dl: pd.Series, age_years: pd.Series, female: pd.Series) -> pd.Series:
    """CKD-EPI 2021 creatinine equation without race, mL/min/1.73 m2, not rounded.

    142 x min(Cr/k, 1)^a x max(Cr/k, 1)^-1.200 x 0.9938^age (x 1.012 if female); k is 0.7 mg/dL and a -0.241 for women,
    0.9 and -0.302 for men. Age is that on the day of the sample. The equation is for adults: missing below 18 years,
    and where an input is missing or creatinine not above 0. Inputs and result are not bounded. It overestimates in
    cirrhosis, where little muscle means little creatinine.
    """
    index = shared_index(creatinine_mg_dl=creatinine_mg_dl, age_years=age_years, female=female)
    age = finite("age_years", age_years)
    woman = truth("female", female)
    ratio = positive("creatinine_mg_dl", creatinine_mg_dl) / np.where(woman == 1, 0.7, 0.9)
    power = np.where(ratio < 1, np.where(woman == 1, -0.241, -0.302), -1.2)
    rate = 142 * ratio**power * 0.9938**age * 1.012**woman
    return pd.Series(np.where(age >= ADULT_FROM_YEARS, rate, np.nan), index=index)
