"""Conversion between the units that laboratories report and those that published scores are written in.

The factors are the rounded ones of clinical use (17.1 and 88.4), not the exact molar ones (17.104 and 88.42): the
choice moves the integer MELD of about one patient in three hundred, so it is made here and nowhere else.
"""

from __future__ import annotations

import pandas as pd

BILIRUBIN_UMOL_L_PER_MG_DL = 17.1
CREATININE_UMOL_L_PER_MG_DL = 88.4
ALBUMIN_G_L_PER_G_DL = 10.0
GLUCOSE_MMOL_L_PER_MG_DL = 0.0555
UREA_NITROGEN_MG_DL_PER_UREA_MMOL_L = 2.8


def compute_bilirubin_mg_dl(*, bilirubin_umol_l: pd.Series) -> pd.Series:
    """Bilirubin in mg/dL from umol/L: divided by 17.1."""
    return bilirubin_umol_l / BILIRUBIN_UMOL_L_PER_MG_DL


def compute_bilirubin_umol_l(*, bilirubin_mg_dl: pd.Series) -> pd.Series:
    """Bilirubin in umol/L from mg/dL: times 17.1."""
    return bilirubin_mg_dl * BILIRUBIN_UMOL_L_PER_MG_DL


def compute_creatinine_mg_dl(*, creatinine_umol_l: pd.Series) -> pd.Series:
    """Creatinine in mg/dL from umol/L: divided by 88.4."""
    return creatinine_umol_l / CREATININE_UMOL_L_PER_MG_DL


def compute_creatinine_umol_l(*, creatinine_mg_dl: pd.Series) -> pd.Series:
    """Creatinine in umol/L from mg/dL: times 88.4."""
    return creatinine_mg_dl * CREATININE_UMOL_L_PER_MG_DL


def compute_albumin_g_dl(*, albumin_g_l: pd.Series) -> pd.Series:
    """Albumin in g/dL from g/L: divided by 10."""
    return albumin_g_l / ALBUMIN_G_L_PER_G_DL


def compute_albumin_g_l(*, albumin_g_dl: pd.Series) -> pd.Series:
    """Albumin in g/L from g/dL: times 10."""
    return albumin_g_dl * ALBUMIN_G_L_PER_G_DL


def compute_glucose_mmol_l(*, glucose_mg_dl: pd.Series) -> pd.Series:
    """Glucose in mmol/L from mg/dL: times 0.0555."""
    return glucose_mg_dl * GLUCOSE_MMOL_L_PER_MG_DL


def compute_urea_nitrogen_mg_dl(*, urea_mmol_l: pd.Series) -> pd.Series:
    """Blood urea nitrogen in mg/dL from urea in mmol/L: times 2.8."""
    return urea_mmol_l * UREA_NITROGEN_MG_DL_PER_UREA_MMOL_L
