"""The model for repeated measures on the pilot's ADAS-Cog (11), against SAS.

The model of table 14-3.11 of the study report: change ~ treatment, site group, week, treatment by week, baseline,
baseline by week; unstructured covariance; ddfm=kr. At week 24 means, differences and p are from the output of SAS in
issue 6 of `atorus-research/CDISC_pilot_replication`, errors by mmrm from its `notes/divergences.md`. The report prints
means over the three weeks: five of its cells that a fit without Kenward and Roger misses stand, with the covariance by
that fit, in `quality/data/efficacy-agreement.json` of `jwildfire/open.csr`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from transforms.core.numbers import round_half_away
from transforms.results.repeated import Estimate, Fit, Sample, fit, unstructured

WEEKS, DOSES = (8, 16, 24), (0, 54, 81)


@dataclass(frozen=True)
class Model:
    fitted: Fit
    sites: int
    baseline: float

    def mean(self, dose: int, *weeks: int) -> np.ndarray:
        """The weights of a least-squares mean: sites weigh the same, the baseline is that of all records."""
        weights = np.zeros(9 + self.sites - 1 + 3)
        for week in weeks:
            place = WEEKS.index(week)
            weights[3 * place + DOSES.index(dose)] += 1 / len(weeks)
            weights[9 + self.sites - 1 + place] += self.baseline / len(weeks)
        weights[9 : 9 + self.sites - 1] = 1 / self.sites
        return weights

    def found(self, weights: np.ndarray) -> Estimate:
        estimate = self.fitted.contrast(weights)
        assert estimate is not None
        return estimate


@pytest.fixture(scope="module")
def model(data: dict[str, pd.DataFrame]) -> Model:
    efficacy = data["ADSL"].loc[data["ADSL"]["EFFFL"] == "Y", "USUBJID"]
    adqs = data["ADQS"]
    kept = (adqs["PARAMCD"] == "ACTOT") & (adqs["ANL01FL"] == "Y") & adqs["DTYPE"].isna() & (adqs["AVISITN"] > 0)
    rows = adqs[kept & adqs["USUBJID"].isin(efficacy)].reset_index(drop=True)
    assert (len(rows), rows["USUBJID"].nunique()) == (539, 234)
    sites = sorted(rows["SITEGR1"].unique())
    columns = [(rows["AVISITN"] == week) & (rows["TRTPN"] == dose) for week in WEEKS for dose in DOSES]
    columns += [rows["SITEGR1"] == site for site in sites[1:]]
    columns += [rows["BASE"] * (rows["AVISITN"] == week) for week in WEEKS]
    design = np.column_stack([one.to_numpy(dtype=float) for one in columns])
    visits = np.searchsorted(WEEKS, rows["AVISITN"].to_numpy(dtype=float))
    sample = Sample(rows["CHG"].to_numpy(dtype=float), design, pd.factorize(rows["USUBJID"])[0], visits)
    return Model(fit(sample, unstructured), len(sites), float(rows["BASE"].mean()))


def test_the_covariance_is_that_of_another_program(model: Model) -> None:
    expected = [16.821548567167, 11.205966527587, 28.258279608306, 11.885208033049, 14.445165021109, 31.394438227851]
    assert model.fitted.covariance[np.tril_indices(3)] == pytest.approx(expected, rel=5e-5)


def test_means_and_differences_at_week_24_are_those_of_sas_and_mmrm(model: Model) -> None:
    means = {dose: model.found(model.mean(dose, 24)) for dose in DOSES}
    assert [round_half_away(one.estimate, 4) for one in means.values()] == [2.3291, 1.7352, 1.5009]
    assert [round_half_away(one.se, 2) for one in means.values()] == [0.69, 0.77, 0.84]
    differences = [model.found(model.mean(dose, 24) - model.mean(0, 24)) for dose in (54, 81)]
    assert [round_half_away(one.estimate, 4) for one in differences] == [-0.5939, -0.8282]
    assert [round_half_away(one.p, 4) for one in differences] == [0.5600, 0.4403]


def test_means_over_the_weeks_are_those_of_the_study_report(model: Model) -> None:
    means = {dose: model.mean(dose, *WEEKS) for dose in DOSES}
    assert round_half_away(model.found(means[81]).se, 2) == 0.56
    low, high, both = (model.found(means[one] - means[other]) for one, other in ((54, 0), (81, 0), (81, 54)))
    assert [round_half_away(one.p, 3) for one in (low, high, both)] == [0.955, 0.556, 0.606]
    assert round_half_away(high.ci_low, 1) == -1.9
