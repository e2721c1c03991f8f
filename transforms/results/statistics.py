"""Statistics of proportions, rates, samples and survival times, by published methods.

Functions take plain arrays and numbers and give None where a statistic cannot be estimated.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from transforms.core.numbers import round_significant
from transforms.errors import InputError

DAYS_PER_MONTH = 30.4375
Interval = tuple[float | None, float | None]
UNKNOWN: Interval = (None, None)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact interval of a proportion, from 0 to 1 (Clopper and Pearson, Biometrika 1934;26:404-413)."""
    if trials == 0:
        return UNKNOWN
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def rate(events: int, days: float) -> float | None:
    """Events per 100 person-months, a month being 30.4375 days."""
    return 100 * events / (days / DAYS_PER_MONTH) if days > 0 else None


@dataclass(frozen=True)
class Sample:
    """What a summary says of a sample; `interval` is the t-interval of its mean."""

    n: int
    mean: float | None
    sd: float | None
    median: float | None
    q1: float | None
    q3: float | None
    minimum: float | None
    maximum: float | None
    interval: Interval


def summarize(values: np.ndarray, confidence: float = 0.95) -> Sample:
    """Summary statistics of numbers without missing ones.

    The standard deviation is of a sample (n - 1). Quartiles are those of the empirical distribution function with
    averages at its steps: definition 2 of Hyndman and Fan (American Statistician 1996;50:361-365), 5 in SAS.
    """
    n = len(values)
    if n == 0:
        return Sample(0, None, None, None, None, None, None, None, UNKNOWN)
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1)) if n > 1 else None
    q1, median, q3 = (float(one) for one in np.percentile(values, [25, 50, 75], method="averaged_inverted_cdf"))
    interval = UNKNOWN
    if sd is not None:
        half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * sd / n**0.5
        interval = (mean - half, mean + half)
    return Sample(n, mean, sd, median, q1, q3, float(np.min(values)), float(np.max(values)), interval)


@dataclass(frozen=True)
class SignedRankTest:
    """Wilcoxon's test: differences that are not zero, those that are, the sum of positive ranks, two-sided p."""

    n: int
    zeros: int
    statistic: float | None
    p: float | None


def signed_rank(values: np.ndarray) -> SignedRankTest:
    """Wilcoxon's signed-rank test of a median of zero (Wilcoxon, Biometrics Bulletin 1945;1:80-83).

    Zeros are left out. The p-value is exact without ties and up to 50 differences, else by the normal approximation
    corrected for ties.
    """
    kept = values[values != 0]
    if len(kept) == 0:
        return SignedRankTest(0, len(values), None, None)
    tied = len(np.unique(round_significant(np.abs(kept)))) < len(kept)
    method = "exact" if not tied and len(kept) <= 50 else "approx"
    found = stats.wilcoxon(kept, alternative="two-sided", method=method, correction=method == "approx")
    ranks = stats.rankdata(round_significant(np.abs(kept)))
    return SignedRankTest(len(kept), len(values) - len(kept), float(ranks[kept > 0].sum()), float(found.pvalue))


def fisher_exact(counts: Sequence[int], sizes: Sequence[int]) -> float | None:
    """Two-sided p that two groups have the same share (Fisher, Journal of the Royal Statistical Society 1922;85:87-94).

    `counts` are those with, of the `sizes` of the groups. Sums the probability of every table that is not more likely
    than the one observed. None where nobody has it.
    """
    table = [[with_it, size - with_it] for with_it, size in zip(counts, sizes, strict=True)]
    return float(stats.fisher_exact(table).pvalue) if any(counts) else None


def chi_square(table: np.ndarray) -> float | None:
    """P of Pearson's test that groups (columns) are distributed over levels (rows) alike, without correction.

    Levels and groups that nobody has are left out. None where fewer than two of either remain.
    """
    kept = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(kept.shape) < 2:
        return None
    return float(stats.chi2_contingency(kept, correction=False).pvalue)


def one_way_anova(samples: Sequence[np.ndarray]) -> float | None:
    """P of the F-test that groups have the same mean. None with an empty group or without variation within them."""
    n = sum(len(one) for one in samples)
    if len(samples) < 2 or not all(len(one) for one in samples) or n <= len(samples):
        return None
    if not any(np.ptp(one) for one in samples):
        return None
    return float(stats.f_oneway(*samples).pvalue)


@dataclass(frozen=True)
class Quantile:
    """A time by which a share of subjects has had the event, and its interval."""

    time: float | None
    interval: Interval


class Survival:
    """The Kaplan-Meier estimate of times to an event (Kaplan and Meier, JASA 1958;53:457-481).

    At equal times events come before censorings. Intervals are of log(-log S) with Greenwood's variance (Kalbfleisch
    and Prentice 1980); there is none where S is 0 or 1.
    """

    def __init__(self, times: np.ndarray, observed: np.ndarray, confidence: float = 0.95) -> None:
        if len(times) != len(observed) or np.isnan(times).any() or (times < 0).any():
            raise InputError("survival times are as many as their states, known, and not below 0")
        self.n = len(times)
        self.events = int(observed.sum())
        self.last = float(times.max()) if self.n else 0.0
        self._times, self._observed = times, observed
        with warnings.catch_warnings():
            # lifelines 0.30 uses calls that pandas 3 will drop; its results are held against published ones in tests.
            warnings.simplefilter("ignore")
            from lifelines import KaplanMeierFitter

            fitted = KaplanMeierFitter(alpha=1 - confidence)
            self._table = _fitted(fitted, times, observed) if self.n else pd.DataFrame()

    @property
    def steps(self) -> pd.DataFrame:
        """The estimate at time 0 and every time: time, survival, low, high, se, at_risk, events, censored."""
        return self._table

    def at(self, time: float) -> tuple[float | None, float | None, Interval]:
        """Estimate, standard error and interval at a time; none after the last time while S is above 0."""
        if not self.n:
            return None, None, UNKNOWN
        row = self._table[self._table["time"] <= time].iloc[-1]
        survival = float(row["survival"])
        if time > self.last and survival > 0:
            return None, None, UNKNOWN
        if survival in {0.0, 1.0}:
            return survival, None, UNKNOWN
        return survival, float(row["se"]), (float(row["low"]), float(row["high"]))

    def at_risk(self, time: float) -> int:
        """Subjects who neither had the event nor were censored before a time."""
        return int((self._times >= time).sum())

    def events_until(self, time: float) -> int:
        """Events up to and at a time."""
        return int((self._observed & (self._times <= time)).sum())

    def status_at(self, time: float) -> tuple[int, int]:
        """Subjects whose status at a time is known, and those of them who had no event by then."""
        dead = self.events_until(time)
        alive = int((~self._observed & (self._times >= time)).sum() + (self._observed & (self._times > time)).sum())
        return dead + alive, alive

    def quantile(self, share: float) -> Quantile:
        """The time at which 1 - S reaches a share (Brookmeyer and Crowley, Biometrics 1982;38:29-41).

        Where S equals 1 - share over an interval, its middle.
        """
        if not self.n:
            return Quantile(None, UNKNOWN)
        level = 1 - share
        low, high = (_first_at_most(self._table, name, level) for name in ("low", "high"))
        return Quantile(_crossing(self._table, level), (low, high))


def _fitted(fitter: object, times: np.ndarray, observed: np.ndarray) -> pd.DataFrame:
    fitter.fit(times, observed)  # type: ignore[attr-defined]
    events = fitter.event_table  # type: ignore[attr-defined]
    survival = fitter.survival_function_.iloc[:, 0].to_numpy()  # type: ignore[attr-defined]
    interval = fitter.confidence_interval_  # type: ignore[attr-defined]
    had, at_risk = events["observed"].to_numpy(dtype=float), events["at_risk"].to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        greenwood = np.cumsum(np.where(had > 0, had / (at_risk * (at_risk - had)), 0.0))
    certain = (survival <= 0) | (survival >= 1)
    return pd.DataFrame(
        {
            "time": events.index.to_numpy(dtype=float),
            "survival": survival,
            "low": np.where(certain, np.nan, interval.iloc[:, 0].to_numpy()),
            "high": np.where(certain, np.nan, interval.iloc[:, 1].to_numpy()),
            "se": np.where(certain, np.nan, survival * np.sqrt(np.where(certain, 0.0, greenwood))),
            "at_risk": events["at_risk"].to_numpy(),
            "events": events["observed"].to_numpy(),
            "censored": events["censored"].to_numpy(),
        }
    )


def _crossing(table: pd.DataFrame, level: float) -> float | None:
    survival = round_significant(table["survival"].to_numpy())
    below = np.flatnonzero(survival <= round_significant(np.array([level]))[0])
    if len(below) == 0:
        return None
    first = below[0]
    time = float(table["time"].iloc[first])
    lower = np.flatnonzero(survival < survival[first])
    if survival[first] == round_significant(np.array([level]))[0] and len(lower):
        return (time + float(table["time"].iloc[lower[0]])) / 2
    return time


def _first_at_most(table: pd.DataFrame, name: str, level: float) -> float | None:
    known = table[table[name].notna() & (table[name] <= level)]
    return float(known["time"].iloc[0]) if len(known) else None
