"""The linear model for repeated measures by restricted likelihood, with the inference of Kenward and Roger.

The values of a subject are normal: their mean is linear in the design, and their covariance is the part for the visits
with a value of one covariance between all visits (missing at random). It is linear in its parameters, which are its
elements: the sum of theta_h G_h. Second derivatives are zero, and the adjusted covariance of the coefficients is that
of SAS PROC MIXED (`ddfm=kr`) and of the R package mmrm with `vcov = "Kenward-Roger-Linear"`; with elements of the
Cholesky factor as parameters, mmrm's default, it would be another. W, the covariance of the parameters, is the inverse
of the observed information, as in both.

Sources: Kenward and Roger, Biometrics 1997;53:983-997; Patterson and Thompson, Biometrika 1971;58:545-554 (restricted
likelihood); Lindstrom and Bates, JASA 1988;83:1014-1022 (its derivatives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

ITERATIONS, HALVINGS = 100, 30
CONVERGED = 1e-14
"""Twice the log-likelihood that a further step would gain, about."""
ZERO = 1e-9
"""Relative size below which a direction of the design, a residual or an information is zero."""
SINGULAR = 1e-6
"""The least eigenvalue of correlations that counts as full rank; below it arithmetic is not exact enough."""


class NotEstimable(Exception):  # noqa: N818
    """A model that the values do not determine; the text says why."""


def unstructured(visits: int) -> np.ndarray:
    """The parts G_h of a covariance with a variance for each visit and a covariance for each two."""
    rows, columns = np.tril_indices(visits)
    parts = np.zeros((len(rows), visits, visits))
    parts[range(len(rows)), rows, columns] = parts[range(len(rows)), columns, rows] = 1.0
    return parts


def compound_symmetry(visits: int) -> np.ndarray:
    """The parts of a covariance with one variance and one covariance, which may be negative."""
    return np.stack([np.eye(visits), np.ones((visits, visits)) - np.eye(visits)][: min(visits, 2)])


@dataclass(frozen=True)
class Estimate:
    """A sum of coefficients, in the unit of the values; t and the two-sided p are of its being zero."""

    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float


class Sample:
    """Values with their subjects and visits (both numbered from 0) and their design, one row for each value.

    Columns of the design that depend on others are no fault. Raises NotEstimable without values, without one left for
    an error, or where the values do not vary about their means.
    """

    def __init__(self, values: np.ndarray, design: np.ndarray, subjects: np.ndarray, visits: np.ndarray) -> None:
        if not len(values):
            raise NotEstimable("no values")
        norms = np.linalg.norm(design, axis=0)
        self.scale = np.where(norms > 0, norms, 1.0)
        _, sizes, directions = np.linalg.svd(design / self.scale, full_matrices=False)
        self.directions = directions[sizes > ZERO * sizes.max(initial=0.0)].T
        reduced = design / self.scale @ self.directions
        if len(values) <= reduced.shape[1]:
            raise NotEstimable(f"{len(values)} values for {reduced.shape[1]} coefficients")
        self.simple = np.linalg.lstsq(reduced, values)[0]
        rest = values - reduced @ self.simple
        if np.linalg.norm(rest) <= ZERO * np.linalg.norm(values):
            raise NotEstimable("the values do not vary about their means")
        self.variance = float(rest @ rest) / (len(values) - reduced.shape[1])
        shape = (subjects.max() + 1, visits.max() + 1)
        self.rest, self.design = np.zeros(shape), np.zeros((*shape, reduced.shape[1]))
        self.rest[subjects, visits], self.design[subjects, visits] = rest, reduced
        present = np.zeros(shape, dtype=bool)
        present[subjects, visits] = True
        self.patterns, self.pattern_of = np.unique(present, axis=0, return_inverse=True)

    def reduced(self, weights: np.ndarray) -> np.ndarray | None:
        """Weights for the reduced coefficients from those for the design; None where it does not determine the sum."""
        scaled = weights / self.scale
        found: np.ndarray = self.directions.T @ scaled
        return found if np.allclose(self.directions @ found, scaled, rtol=0, atol=1e-7 * np.abs(scaled).max()) else None


class _State:
    """Restricted likelihood at a covariance, its derivatives by the parameters, and what inference needs.

    `known` is the information on the parameters if the means were known.
    """

    def __init__(self, sample: Sample, parts: np.ndarray, covariance: np.ndarray) -> None:
        self.parts = parts
        inverses, logarithms = np.zeros((len(sample.patterns), *covariance.shape)), np.zeros(len(sample.patterns))
        for number, pattern in enumerate(sample.patterns):
            block = np.ix_(pattern, pattern)
            inverses[number][block] = np.linalg.inv(covariance[block])
            logarithms[number] = np.linalg.slogdet(covariance[block])[1]
        of = sample.pattern_of
        self.inverses = inverses
        self.weighted = weighted = inverses[of] @ sample.design
        self.plain = np.linalg.inv(np.tensordot(sample.design, weighted, ((0, 1), (0, 1))))
        moved = self.plain @ np.einsum("isp,is->p", weighted, sample.rest)
        self.coefficients = sample.simple + moved
        residuals = sample.rest - sample.design @ moved
        scores = np.einsum("ist,it->is", inverses[of], residuals)
        self.deviance = float(
            logarithms[of].sum() - np.linalg.slogdet(self.plain)[1] + np.einsum("is,is->", residuals, scores)
        )
        # Sums over the subjects with a pattern of visits: of squared scores, and of what the coefficients take of them.
        outer, spread = np.zeros_like(inverses), np.zeros_like(inverses)
        np.add.at(outer, of, np.einsum("is,it->ist", scores, scores))
        np.add.at(spread, of, weighted @ self.plain @ weighted.transpose(0, 2, 1))
        inner = inverses * np.bincount(of)[:, None, None]
        self.score = 0.5 * np.einsum("hst,nst->h", parts, outer - inner + spread)
        self.moments = np.einsum("hst,isp,itq->hpq", parts, weighted, weighted, optimize=True)
        slopes = self.plain @ self.moments
        both = np.einsum("hpq,jqp->hj", slopes, slopes)
        mixed = np.einsum("hst,isp,it->hp", parts, weighted, scores, optimize=True)
        self.known = 0.5 * self._traces(inner)
        self.expected = 0.5 * (self._traces(inner - 2 * spread) + both)
        self.observed = 0.5 * (self._traces(2 * outer + 2 * spread - inner) - both) - mixed @ self.plain @ mixed.T

    def _traces(self, middle: np.ndarray) -> np.ndarray:
        """For each two parts the trace of V^-1 G_h M G_j, over patterns."""
        left = np.einsum("nst,htu->nhsu", self.inverses, self.parts)
        right = np.einsum("nst,htu->nhsu", middle, self.parts)
        found: np.ndarray = np.einsum("nhsu,njus->hj", left, right, optimize=True)
        return found


@dataclass(frozen=True)
class Fit:
    """A fitted model: the covariance between visits, coefficients of the reduced design, and what inference needs."""

    sample: Sample
    covariance: np.ndarray
    coefficients: np.ndarray
    plain: np.ndarray
    adjusted: np.ndarray
    slopes: np.ndarray
    parameters: np.ndarray

    def contrast(self, weights: np.ndarray, confidence: float = 0.95) -> Estimate | None:
        """The sum of the coefficients of the design with these weights; None where the design does not determine it.

        Error, t and interval are by the adjusted variance. The degrees of freedom of a single sum are 2 v^2 / (g' W g),
        v being its variance before adjustment and g the derivatives of v by the parameters of the covariance.
        """
        sums = self.sample.reduced(weights)
        if sums is None:
            return None
        slope = np.einsum("p,hpq,q->h", sums, self.slopes, sums)
        df = 2 * float(sums @ self.plain @ sums) ** 2 / float(slope @ self.parameters @ slope)
        estimate, se = float(sums @ self.coefficients), float(np.sqrt(sums @ self.adjusted @ sums))
        t, half = estimate / se, float(stats.t.ppf((1 + confidence) / 2, df)) * se
        return Estimate(estimate, se, df, t, float(2 * stats.t.sf(abs(t), df)), estimate - half, estimate + half)


def fit(sample: Sample, structure: Callable[[int], np.ndarray]) -> Fit:
    """The model with a covariance of this structure.

    Newton's method starts from independent visits of equal variance; of several maxima, which few subjects with many
    missing visits may give, it finds one. Raises NotEstimable where the values do not determine the covariance, or
    where no maximum with a covariance of full rank is found.
    """
    visits = sample.rest.shape[1]
    parts, covariance = structure(visits), sample.variance * np.eye(visits)
    state = _State(sample, parts, covariance)
    if not _determines(state.expected, state.known):
        raise NotEstimable(f"the values do not determine its {len(parts)} parameters")
    for _ in range(ITERATIONS):
        newton = _determines(state.observed, state.known)
        if not newton and not _determines(state.expected, state.known):
            break
        step = np.linalg.solve(state.observed if newton else state.expected, state.score)
        if newton and state.score @ step < CONVERGED:
            return _inferred(sample, covariance, state)
        for halving in range(HALVINGS):
            trial = covariance + np.einsum("h,hst->st", step / 2**halving, parts)
            if _full_rank(trial):
                new = _State(sample, parts, trial)
                if new.deviance <= state.deviance + CONVERGED * abs(state.deviance):
                    covariance, state = trial, new
                    break
        else:
            break
    raise NotEstimable("no maximum of the restricted likelihood was found")


def _full_rank(covariance: np.ndarray) -> bool:
    """Whether variances are positive and no combination of visits is free of variance."""
    variances = np.diag(covariance)
    if not np.isfinite(covariance).all() or (variances <= 0).any():
        return False
    roots = np.sqrt(variances)
    return bool(np.linalg.eigvalsh(covariance / np.outer(roots, roots))[0] > SINGULAR)


def _determines(information: np.ndarray, known: np.ndarray) -> bool:
    """Whether something is known of every combination of parameters, as a share of what is with known means."""
    try:
        return bool(linalg.eigvalsh(information, known)[0] > ZERO)
    except (linalg.LinAlgError, ValueError):
        return False


def _inferred(sample: Sample, covariance: np.ndarray, state: _State) -> Fit:
    """The fit at the maximum, with the covariance of the coefficients that Kenward and Roger adjust."""
    parameters, plain = np.linalg.inv(state.observed), state.plain
    middle = np.einsum("hj,hst,ntu,juv->nsv", parameters, state.parts, state.inverses, state.parts, optimize=True)
    squares = np.einsum("isp,isv,ivq->pq", state.weighted, middle[sample.pattern_of], state.weighted, optimize=True)
    products = np.einsum("hj,hpq,qr,jrs->ps", parameters, state.moments, plain, state.moments, optimize=True)
    adjusted = plain + 2 * plain @ (squares - products) @ plain
    slopes = plain @ state.moments @ plain
    return Fit(sample, covariance, state.coefficients, plain, (adjusted + adjusted.T) / 2, slopes, parameters)


STRUCTURES: Mapping[str, Callable[[int], np.ndarray]] = {
    "unstructured": unstructured,
    "compound symmetry": compound_symmetry,
}
"""The structures in the order in which they are tried."""
