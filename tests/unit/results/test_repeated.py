"""The model for repeated measures against values computed in R and exact theory, and where it cannot be estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.linear_model import OLS

from transforms.results.repeated import STRUCTURES, NotEstimable, Sample, compound_symmetry, fit, unstructured

VECTORS = Path(__file__).parent / "vectors"
EXPECTED = pd.read_csv(VECTORS / "repeated.csv")
GONE = {(3, 3), (5, 2), (5, 3), (9, 1), (12, 3), (14, 2), (17, 2), (17, 3), (19, 3), (21, 1), (24, 2), (24, 3), (26, 3),
        (27, 1), (27, 3)}  # fmt: skip


def growth(name: str) -> pd.DataFrame:
    """The change from age 8 by subject and visit 1 to 3; missing or complete."""
    wide = pd.read_csv(VECTORS / "growth.csv")
    long = wide.melt(["subject", "sex", "age_8"], var_name="age", value_name="y")
    long["visit"] = long["age"].map({"age_10": 1, "age_12": 2, "age_14": 3})
    long["chg"] = long["y"] - long["age_8"]
    if name == "missing":
        long = long[[place not in GONE for place in zip(long["subject"], long["visit"], strict=True)]]
        assert len(long) == 66
    return long.reset_index(drop=True)


def sample_of(data: pd.DataFrame, baseline: str = "age_8") -> tuple[Sample, np.ndarray]:
    """A column for each sex at each visit, then the baseline from its mean over subjects; and the columns' visits."""
    columns = [(sex, visit) for visit in (1, 2, 3) for sex in ("Female", "Male")]
    design = [((data["sex"] == sex) & (data["visit"] == visit)).to_numpy(dtype=float) for sex, visit in columns]
    mean = data.groupby("subject")[baseline].first().mean()
    matrix = np.column_stack([*design, data[baseline].to_numpy() - mean])
    subjects = pd.factorize(data["subject"])[0]
    return Sample(data["chg"].to_numpy(), matrix, subjects, data["visit"].to_numpy() - 1), np.array(
        [v for _, v in columns]
    )


def weights_at(columns: np.ndarray, visit: int) -> np.ndarray:
    return np.array([*np.where(columns == visit, 0.5, 0.0), 0.0])


TOLERANCE = {"gls": 2e-7, "lmerTest": 1e-6, "pbkrtest": 1e-6, "matrices": 4e-5}


@pytest.mark.parametrize(
    "row", list(EXPECTED.itertuples()), ids=lambda row: f"{row.set}-{row.covariance}-{row.source}-{row.visit}"
)
def test_estimates_errors_and_degrees_of_freedom_are_those_of_r(row: pd.Series) -> None:
    sample, columns = sample_of(growth(row.set))
    fitted = fit(sample, STRUCTURES[row.covariance])
    weights = weights_at(columns, row.visit)
    found = fitted.contrast(weights)
    assert found is not None
    reduced = sample.reduced(weights)
    assert reduced is not None
    ours = {
        "estimate": found.estimate,
        "plain": np.sqrt(reduced @ fitted.plain @ reduced),
        "se": found.se,
        "df": found.df,
    }
    expected = {name: getattr(row, name) for name in ours if not np.isnan(getattr(row, name))}
    assert {name: ours[name] for name in expected} == pytest.approx(expected, rel=TOLERANCE[row.source])


def test_complete_data_of_groups_give_the_analysis_of_each_visit() -> None:
    """Without a covariate inference at one visit is exact: that of the values there, by ordinary least squares."""
    data = growth("complete").assign(none=0.0)
    sample, columns = sample_of(data, "none")
    fitted = fit(sample, unstructured)
    for visit in (1, 2, 3):
        there = data[data["visit"] == visit]
        groups = pd.get_dummies(there["sex"]).to_numpy(dtype=float)
        exact = OLS(there["chg"].to_numpy(), groups).fit().t_test(np.array([0.5, 0.5]))
        found = fitted.contrast(weights_at(columns, visit))
        assert found is not None
        assert found.df == pytest.approx(25)
        assert (found.estimate, found.se, found.t, found.p) == pytest.approx(
            (exact.effect[0], exact.sd[0, 0], exact.tvalue[0, 0], float(exact.pvalue))
        )
        assert (found.ci_low, found.ci_high) == pytest.approx(tuple(exact.conf_int()[0]))


def test_the_mean_over_visits_of_complete_data_is_that_of_subjects_means() -> None:
    data = growth("complete").assign(none=0.0)
    sample, columns = sample_of(data, "none")
    means = data.groupby(["subject", "sex"], as_index=False)["chg"].mean()
    exact = OLS(means["chg"].to_numpy(), pd.get_dummies(means["sex"]).to_numpy(dtype=float)).fit()
    exact = exact.t_test(np.array([0.5, 0.5]))
    for structure in (unstructured, compound_symmetry):
        found = fit(sample, structure).contrast(sum(weights_at(columns, visit) for visit in (1, 2, 3)) / 3)
        assert found is not None
        assert (found.estimate, found.se, found.df) == pytest.approx((exact.effect[0], exact.sd[0, 0], 25.0))


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_the_unit_of_values_and_of_the_baseline_changes_nothing(factor: float) -> None:
    data = growth("missing")
    for structure in STRUCTURES.values():
        sample, columns = sample_of(data)
        one = fit(sample, structure).contrast(weights_at(columns, 3))
        sample, columns = sample_of(data.assign(chg=data["chg"] * factor, age_8=data["age_8"] / factor))
        two = fit(sample, structure).contrast(weights_at(columns, 3))
        assert one is not None
        assert two is not None
        assert (two.estimate / factor, two.se / factor, two.df, two.p) == pytest.approx(
            (one.estimate, one.se, one.df, one.p), rel=1e-6
        )


def test_values_far_from_zero_lose_nothing() -> None:
    data = growth("missing")
    sample, columns = sample_of(data)
    one = fit(sample, unstructured).contrast(weights_at(columns, 2))
    sample, columns = sample_of(data.assign(chg=data["chg"] + 1e6))
    two = fit(sample, unstructured).contrast(weights_at(columns, 2))
    assert one is not None
    assert two is not None
    assert (two.estimate - 1e6, two.se, two.df) == pytest.approx((one.estimate, one.se, one.df), rel=1e-6)


def test_what_the_design_does_not_determine_has_no_estimate() -> None:
    """No girl has a value at visit 3; a covariate that is the sex leaves no mean at its own."""
    data = growth("complete")
    sample, columns = sample_of(data[(data["visit"] < 3) | (data["sex"] == "Male")].reset_index(drop=True))
    fitted = fit(sample, unstructured)
    found = [fitted.contrast(weights_at(columns, visit)) is not None for visit in (1, 2, 3)]
    assert found == [True, True, False]
    sample, columns = sample_of(data.assign(age_8=(data["sex"] == "Male").astype(float)))
    fitted = fit(sample, unstructured)
    assert [fitted.contrast(weights_at(columns, visit)) for visit in (1, 2, 3)] == [None, None, None]
    boys = np.array([*((columns == 1) & (np.arange(6) % 2 == 1)), 11 / 27])
    assert fitted.contrast(boys) is not None, "their mean at a covariate of 1"


def only(data: pd.DataFrame, kept: pd.Series) -> Sample:
    return sample_of(data[kept].reset_index(drop=True))[0]


DATA = growth("complete")
FOUR = DATA["subject"].isin([1, 2, 17, 18])


@pytest.mark.parametrize(
    ("data", "kept", "unfit"),
    [
        (DATA, (DATA["visit"] < 3) | (DATA["subject"] == 1), {"unstructured": "do not determine its 6"}),
        (
            DATA,
            ~((DATA["visit"] == 2) & (DATA["subject"] % 2 == 0)) & ~((DATA["visit"] == 3) & (DATA["subject"] % 2 == 1)),
            {"unstructured": "do not determine its 6"},
        ),
        (DATA, FOUR, {"unstructured": "no maximum"}),
        (DATA.assign(chg=DATA["chg"].where(DATA["visit"] != 2, DATA["chg"].shift(27))), DATA["visit"] > 0,
         {"unstructured": "no maximum"}),
        (DATA, DATA["visit"] == DATA["subject"] % 3 + 1, dict.fromkeys(STRUCTURES, "do not determine its")),
        (DATA, DATA["subject"].isin([1, 2]), dict.fromkeys(STRUCTURES, "do not determine its")),
    ],
    ids=["a visit of one subject", "two visits without a common subject", "four subjects", "two visits alike",
         "each subject once", "two subjects"],
)  # fmt: skip
def test_a_covariance_that_the_values_do_not_give_is_refused(
    data: pd.DataFrame, kept: pd.Series, unfit: dict[str, str]
) -> None:
    sample = only(data, kept)
    for name, structure in STRUCTURES.items():
        if name in unfit:
            with pytest.raises(NotEstimable, match=unfit[name]):
                fit(sample, structure)
        else:
            assert np.isfinite(fit(sample, structure).adjusted).all()


@pytest.mark.parametrize(
    ("data", "kept", "why"),
    [
        (DATA, DATA["subject"] == 1, "3 values for 3 coefficients"),
        (DATA, DATA["subject"] == 0, "no values"),
        (DATA.assign(chg=-2.0), DATA["visit"] > 0, "do not vary"),
    ],
)
def test_a_sample_without_a_value_left_for_an_error_is_refused(data: pd.DataFrame, kept: pd.Series, why: str) -> None:
    with pytest.raises(NotEstimable, match=why):
        only(data, kept)


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-6])
def test_values_that_are_the_same_at_all_visits_leave_no_covariance(noise: float) -> None:
    random = np.random.default_rng(1)
    level = DATA["subject"].map(dict(enumerate(random.normal(size=28))))
    sample = only(DATA.assign(chg=level + noise * random.normal(size=len(DATA))), DATA["visit"] > 0)
    for structure in STRUCTURES.values():
        with pytest.raises(NotEstimable, match="no maximum"):
            fit(sample, structure)


@pytest.mark.filterwarnings("error")
def test_small_samples_of_every_kind_have_an_estimate_or_a_reason() -> None:
    """Few subjects, many missing, ties, values alike at all visits: an estimate to print, or NotEstimable."""
    fitted = refused = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        subjects, visits, groups = random.integers(1, 14), random.integers(1, 6), random.integers(1, 4)
        level = np.repeat(random.normal(size=subjects), visits)
        noise = random.choice([1.0, 1e-6, 0.0]) * random.normal(size=subjects * visits)
        values = np.round(3 * (level + noise)) if random.random() < 0.5 else level + noise
        kept = random.random(subjects * visits) > random.choice([0, 0.1, 0.3, 0.6])
        subject, visit = np.divmod(np.flatnonzero(kept), visits)
        design = np.zeros((len(subject), visits * groups + 1))
        design[np.arange(len(subject)), visit * groups + subject % groups] = 1
        design[:, -1] = random.normal(size=subjects)[subject]
        numbers = [np.unique(one, return_inverse=True)[1] for one in (subject, visit)]
        for structure in STRUCTURES.values():
            try:
                found = fit(Sample(values[kept], design, *numbers), structure)
            except NotEstimable:
                refused += 1
                continue
            fitted += 1
            for weights in np.eye(design.shape[1]):
                one = found.contrast(weights)
                assert one is None or (one.se > 0 and one.df > 0 and np.isfinite(one.estimate) and 0 <= one.p <= 1)
    assert fitted > 40
    assert refused > 40
