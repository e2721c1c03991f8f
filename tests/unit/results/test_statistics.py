"""Statistics against published values, each with where it is from."""

from __future__ import annotations

import numpy as np
import pytest

from transforms.errors import InputError
from transforms.results.statistics import (
    Survival,
    chi_square,
    clopper_pearson,
    fisher_exact,
    one_way_anova,
    rate,
    signed_rank,
    summarize,
)
from transforms.results.texts import p_value, percent
from transforms.study.results import PValues


def survival(events: list[float], censored: list[float]) -> Survival:
    times = np.array([*events, *censored], dtype=float)
    return Survival(times, np.array([True] * len(events) + [False] * len(censored)))


# Vectors of the statistical specification, computed beforehand by another implementation.
KM_A = ([96, 211, 302], [120, *[366] * 8])
KM_B = ([96, 211, 302, 366], [120, *[400] * 7])
KM_C = ([40, 77, 130, 130, 205, 260, 333], [77, 188, 290, *[365] * 26])


@pytest.mark.parametrize(
    ("data", "time", "estimate", "error", "low", "high"),
    [
        (KM_A, 365, "0.733333", "0.132358", "0.378961", "0.905617"),
        (KM_B, 365, "0.733333", "0.132358", "0.378961", "0.905617"),
        (KM_B, 366, "0.641667", "0.144101", "0.302250", "0.848294"),
        (KM_C, 365, "0.797390", "0.068568", "0.620870", "0.898031"),
    ],
)
def test_kaplan_meier(
    data: tuple[list[float], list[float]], time: float, estimate: str, error: str, low: str, high: str
) -> None:
    found, se, interval = survival(*data).at(time)
    assert [f"{one:.6f}" for one in (found, se, *interval)] == [estimate, error, low, high]


def test_without_events_survival_is_one_and_its_interval_cannot_be_estimated() -> None:
    curve = survival([], [100, 366, 400])
    assert curve.at(366) == (1.0, None, (None, None))
    assert curve.quantile(0.5).time is None


def test_nothing_is_said_after_the_last_time() -> None:
    assert survival(*KM_A).at(367) == (None, None, (None, None))
    assert survival([10, 20], []).at(30) == (0.0, None, (None, None)), "all dead: S stays 0"


def test_remission_times_of_gehan() -> None:
    """6-MP arm of Freireich 1963, as tabled by Kalbfleisch and Prentice and by Kleinbaum and Klein: S and its error."""
    curve = survival([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
    published = {
        6: ("0.857", "0.0764"),
        7: ("0.807", "0.0869"),
        10: ("0.753", "0.0963"),
        13: ("0.690", "0.1068"),
        16: ("0.627", "0.1141"),
        22: ("0.538", "0.1282"),
        23: ("0.448", "0.1346"),
    }
    for time, (estimate, error) in published.items():
        found, se, _ = curve.at(time)
        assert (f"{found:.3f}", f"{se:.4f}") == (estimate, error), time
    assert curve.quantile(0.5).time == 23
    placebo = survival([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [])
    assert placebo.quantile(0.5).time == 8


def test_a_median_on_a_step_is_the_middle_of_it() -> None:
    """By hand: of four deaths S is exactly 0.5 from 2 to 3; R's survfit says 2.5."""
    assert survival([1, 2, 3, 4], []).quantile(0.5).time == 2.5


def test_status_at_a_time_counts_events_and_those_seen_until_then() -> None:
    """By hand from KM-A at 366: three dead, eight seen alive on day 366, one censored on day 120 is unknown."""
    assert survival(*KM_A).status_at(366) == (11, 8)
    assert survival(*KM_B).status_at(366) == (11, 7)


def test_a_time_that_is_missing_or_negative_is_refused() -> None:
    with pytest.raises(InputError, match="survival times"):
        Survival(np.array([1.0, np.nan]), np.array([True, True]))


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [
        (0, 12, ("0.00", "26.46")),
        (1, 12, ("0.21", "38.48")),
        (2, 12, ("2.09", "48.41")),
        (3, 12, ("5.49", "57.19")),
        (6, 12, ("21.09", "78.91")),
        (12, 12, ("73.54", "100.00")),
        (0, 36, ("0.00", "9.74")),
        (2, 36, ("0.68", "18.66")),
        (5, 36, ("4.67", "29.50")),
        (28, 36, ("60.85", "89.88")),
    ],
)
def test_clopper_pearson(successes: int, trials: int, interval: tuple[str, str]) -> None:
    """Vectors of the statistical specification; 12/12 and 0/12 are the textbook 1 - 0.025^(1/12)."""
    found = clopper_pearson(successes, trials)
    assert tuple(f"{100 * one:.2f}" for one in found if one is not None) == interval


def test_no_trial_has_no_interval() -> None:
    assert clopper_pearson(0, 0) == (None, None)


MICHELSON = (
    "850 740 900 1070 930 850 950 980 980 880 1000 980 930 650 760 810 1000 1000 960 960 960 940 960 940 880 800 850 "
    "880 900 840 830 790 810 880 880 830 800 790 760 800 880 880 880 860 720 720 620 860 970 950 880 910 850 870 840 "
    "840 850 840 840 840 890 810 810 820 800 770 760 740 750 760 910 920 890 860 880 720 840 850 850 780 890 840 780 "
    "810 760 810 790 810 820 850 870 870 810 740 810 940 950 800 810 870"
)


def test_mean_and_deviation_of_michelson() -> None:
    """NIST StRD, Michelson: certified mean 299.852400000000 and standard deviation 0.0790105478190518 (km/ms)."""
    found = summarize(299 + np.array([float(one) for one in MICHELSON.split()]) / 1000)
    assert found.n == 100
    assert f"{found.mean:.10f}" == "299.8524000000"
    assert f"{found.sd:.10f}" == "0.0790105478"


SLEEP = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]) - np.array(
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
)


def test_interval_of_a_mean_of_student() -> None:
    """Student 1908; R's example t.test(extra ~ group, data = sleep, paired): -1.58 (-2.4598858 to -0.7001142)."""
    found = summarize(SLEEP)
    assert [f"{one:.7f}" for one in (found.mean, *found.interval)] == ["-1.5800000", "-2.4598858", "-0.7001142"]


def test_quartiles_average_where_two_values_are_in_the_middle() -> None:
    """By hand, as PCTLDEF=5 of SAS says: np is 1.5 of six values, so the second; 2 of eight, so between two."""
    six = summarize(np.array([1.0, 2, 4, 7, 11, 16]))
    assert (six.q1, six.median, six.q3) == (2, 5.5, 11)
    eight = summarize(np.array([1.0, 2, 4, 7, 11, 16, 22, 29]))
    assert (eight.q1, eight.median, eight.q3) == (3, 9, 19)


def test_one_value_has_no_deviation_and_none_has_nothing() -> None:
    one = summarize(np.array([5.0]))
    assert (one.n, one.mean, one.sd, one.interval) == (1, 5, None, (None, None))
    assert summarize(np.empty(0)).mean is None


def test_signed_rank_of_hollander_and_wolfe() -> None:
    """Depression scale factors, Hollander and Wolfe 1973; R's example of wilcox.test: V = 40, one-sided p 0.01953."""
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = signed_rank(before - after)
    assert found.statistic == 40
    assert f"{found.p / 2:.5f}" == "0.01953"


def test_signed_rank_leaves_zeros_out() -> None:
    found = signed_rank(np.array([0.0, 1.0, -2.0, 3.0]))
    assert (found.n, found.zeros, found.statistic) == (3, 1, 4)
    assert signed_rank(np.zeros(3)).p is None


def test_rate_per_100_person_months() -> None:
    """By hand: 3 events in 20 months of 30.4375 days are 15 per 100."""
    assert rate(3, 20 * 30.4375) == pytest.approx(15)
    assert rate(0, 0) is None


class TestBetweenGroups:
    def test_the_lady_tasting_tea(self) -> None:
        """Fisher, The Design of Experiments 1935: three of four right is 17/70 one-sided, twice that two-sided."""
        assert fisher_exact([3, 1], [4, 4]) == pytest.approx(34 / 70)
        assert fisher_exact([0, 0], [4, 4]) is None

    def test_chi_square_of_party_and_sex(self) -> None:
        """Agresti, Introduction to Categorical Data Analysis 2007, p. 39: 30.07 of 2 degrees of freedom, 2.954e-07."""
        votes = np.array([[762, 327, 468], [484, 239, 477]])
        assert chi_square(votes) == pytest.approx(2.954e-07, rel=2e-4)
        assert chi_square(np.vstack([votes, [0, 0, 0]])) == chi_square(votes), "a level nobody has says nothing"
        assert chi_square(votes[:1]) is None

    def test_analysis_of_variance_of_plant_growth(self) -> None:
        """Dobson 1983, data PlantGrowth of R, whose anova says F = 4.8461 and p = 0.01591."""
        control = [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14]
        first = [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69]
        second = [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26]
        p = one_way_anova([np.array(one) for one in (control, first, second)])
        assert p is not None
        assert f"{p:.5f}" == "0.01591"
        assert one_way_anova([np.array(control), np.array([])]) is None
        assert one_way_anova([np.array([1.0, 1.0]), np.array([2.0, 2.0])]) is None


@pytest.mark.parametrize(
    ("p", "shown", "text"),
    [
        (0.00004, {}, "<0.0001"),
        (0.0001, {}, "0.0001"),
        (None, {}, "NE"),
        (0.1499, {"decimals": 3, "mark": {"*": 0.15}}, "0.150*"),
        (0.15, {"decimals": 3, "mark": {"*": 0.15}}, "0.150"),
        (0.0004, {"decimals": 3, "mark": {"*": 0.15}}, "<0.001*"),
        (1.0, {"decimals": 3, "above": {0.99: ">.99"}}, ">.99"),
        (0.99, {"decimals": 3, "above": {0.99: ">.99"}}, "0.990"),
    ],
)
def test_p_values_as_written(p: float | None, shown: dict[str, object], text: str) -> None:
    assert p_value(p, PValues.model_validate(shown)) == text


@pytest.mark.parametrize(
    ("part", "whole", "decimals", "text"),
    [(1, 254, 0, "<1%"), (2, 200, 0, "1%"), (0, 254, 0, ""), (86, 86, 0, "100%"), (1, 254, 1, "0.4%"), (1, 0, 0, "")],
)
def test_percentages_as_written(part: int, whole: int, decimals: int, text: str) -> None:
    assert percent(part, whole, decimals)[1] == text
