import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from core.errors import InvalidValueError
from tasks.vae_models.total_correlation import decompose, log_weights


def posteriors(rows, width, seed=0):
    """Return mean and log-variance of q(z|x), correlated over the codes, and a draw."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    mean[:, 1] = 0.8 * mean[:, 0] + 0.3 * mean[:, 1]
    log_variance = -1.5 + 0.5 * torch.randn(rows, width, generator=generator, dtype=torch.float64)
    codes = mean + torch.randn(rows, width, generator=generator, dtype=torch.float64) * (0.5 * log_variance).exp()
    return codes, mean, log_variance


def densities(codes, mean, log_variance):
    """Return log q(z_ij | x_m), by scipy: [i, m, j]."""
    z, m, s = codes.numpy(), mean.numpy(), np.exp(0.5 * log_variance.numpy())
    return norm.logpdf(z[:, None], m[None], s[None])


def by_definition(codes, mean, log_variance, joint=None, marginals=None):
    """Return the three parts with exact or given log q(z) and log q(z_j), clip by clip."""
    found, rows = densities(codes, mean, log_variance), len(codes)
    joint = logsumexp(found.sum(2), axis=1) - math.log(rows) if joint is None else joint
    marginals = logsumexp(found, axis=1) - math.log(rows) if marginals is None else marginals
    own = np.array([found[i, i].sum() for i in range(rows)])
    prior = norm.logpdf(codes.numpy()).sum(1)
    return (own - joint).mean(), (joint - marginals.sum(1)).mean(), (marginals.sum(1) - prior).mean()


def parts_of(found):
    return [float(part) for part in (found.mutual_information, found.total_correlation, found.dimension_kl)]


def test_whole_data_set_gives_the_definition():
    drawn = posteriors(40, 4)
    assert parts_of(decompose(*drawn)) == pytest.approx(by_definition(*drawn), abs=1e-10)
    assert parts_of(decompose(*drawn))[1] > 0.2, "the first two codes depend on each other"


@pytest.mark.parametrize("estimator", ["mss", "mws"])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_parts_sum_to_the_kl_whatever_the_estimate(estimator, legacy):
    codes, mean, log_variance = (part.float() for part in posteriors(16, 5))
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = (q.log_prob(codes) - torch.distributions.Normal(0.0, 1.0).log_prob(codes)).sum(1).mean()
    found = parts_of(decompose(codes, mean, log_variance, 500, estimator, legacy))
    assert sum(found) == pytest.approx(float(kl), abs=1e-5)


def test_stratified_weights_are_the_papers_row_by_row():
    rows, dataset = 5, 40
    others = rows - 1
    found = log_weights(rows, dataset, "mss").exp().numpy()
    for i in range(rows):
        assert found[i, i] == pytest.approx(1 / dataset), "its own density"
        rest = sorted(np.delete(found[i], i))
        stratum = (dataset - others) / (dataset * others)
        assert rest == pytest.approx(sorted([1 / others] * (others - 1) + [stratum]))
        assert sum(rest) == pytest.approx((dataset - 1) / dataset), "the others' densities stand for all others of the data set"


def test_legacy_weights_are_those_of_the_published_lines():
    """The three lines as published, on a flat view with a stride of one row: they fill columns, not the diagonal."""
    rows, dataset = 6, 50
    others = rows - 1
    published = np.full(rows * rows, 1 / others)
    published[:: others + 1] = 1 / dataset
    published[1 :: others + 1] = (dataset - others) / (dataset * others)
    published = published.reshape(rows, rows)
    published[others - 1, 0] = (dataset - others) / (dataset * others)
    assert log_weights(rows, dataset, "mss", legacy=True).exp().numpy() == pytest.approx(published, rel=1e-6)


def test_stratified_densities_have_the_exact_ones_as_mean_over_batches():
    codes, mean, log_variance = posteriors(24, 3)
    found, rng, rows, draws = densities(codes, mean, log_variance), np.random.default_rng(0), 6, 4000
    exact_joint, exact_marginal = np.exp(found.sum(2)).mean(1), np.exp(found).mean(1)
    weights, summed, summed_marginal = np.exp(log_weights(rows, 24, "mss").numpy()), np.zeros(24), np.zeros((24, 3))
    seen = np.zeros(24)
    for _ in range(draws):
        batch = rng.choice(24, rows, replace=False)
        block = found[np.ix_(batch, batch)]
        summed[batch] += (weights * np.exp(block.sum(2))).sum(1)
        summed_marginal[batch] += (weights[:, :, None] * np.exp(block)).sum(1)
        seen[batch] += 1
    assert summed / seen == pytest.approx(exact_joint, rel=0.12)
    assert summed_marginal / seen[:, None] == pytest.approx(exact_marginal, rel=0.12)
    assert (summed / seen / exact_joint).mean() == pytest.approx(1.0, abs=0.02)


def averaged(drawn, rows, estimator, legacy, draws=600):
    rng, dataset = np.random.default_rng(1), len(drawn[0])
    found = []
    for _ in range(draws):
        batch = torch.from_numpy(rng.choice(dataset, rows, replace=False))
        found.append(parts_of(decompose(*(part[batch] for part in drawn), dataset, estimator, legacy)))
    return np.mean(found, 0)


def test_stratified_estimates_come_near_the_exact_parts_and_the_published_faults_do_not():
    drawn = posteriors(64, 4)
    exact = by_definition(*drawn)
    near = averaged(drawn, 48, "mss", legacy=False)
    assert near == pytest.approx(exact, abs=0.1)
    faulty = averaged(drawn, 48, "mss", legacy=True)
    assert abs(faulty[1] - exact[1]) > 5 * abs(near[1] - exact[1]), "weights once per code"
    assert faulty[1] < 0, "a total correlation is not negative, the published estimate is"


def test_weighted_sampling_is_its_formula_and_differs_from_the_exact_parts_by_constants_on_the_whole_data():
    drawn = posteriors(30, 3)
    batch = [part[:8] for part in drawn]
    found = densities(*batch)
    joint, marginals = logsumexp(found.sum(2), axis=1) - math.log(30 * 8), logsumexp(found, axis=1) - math.log(30 * 8)
    assert parts_of(decompose(*batch, 30, "mws")) == pytest.approx(by_definition(*batch, joint, marginals), abs=1e-6)
    exact, constant = by_definition(*drawn), math.log(30)
    shifted = [exact[0] + constant, exact[1] + 2 * constant, exact[2] - 3 * constant]
    assert parts_of(decompose(*drawn, 30, "mws")) == pytest.approx(shifted, abs=1e-6)


def test_small_and_impossible_batches():
    drawn = posteriors(1, 3)
    assert parts_of(decompose(*drawn, 100, "mss"))[:2] == pytest.approx([0.0, 0.0], abs=1e-6), "of one row q(z|x) is all there is"
    weights = log_weights(2, 10, "mss").exp()
    assert weights.tolist() == [pytest.approx([0.1, 0.9]), pytest.approx([0.9, 0.1])]
    with pytest.raises(InvalidValueError, match="larger than the data set"):
        log_weights(11, 10, "mss")
    with pytest.raises(InvalidValueError, match="no such estimator"):
        log_weights(4, 10, "exact")
