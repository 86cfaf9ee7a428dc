"""Z-diff, Z-min-var, Z-max-var and IRS against loops over the same draws, and what the draws promise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement import metrics
from tasks.evaluate_disentanglement.metrics import Codes, Factors, interventions


def grid(noise=0.3, seed=0):
    """A full grid of 3 × 6 × 5 cells, twice, and codes that know two factors better than the third; one code hardly varies."""
    cells = np.stack([axis.ravel() for axis in np.meshgrid(range(3), np.linspace(1, 2, 6), np.linspace(0, 1, 5), indexing="ij")], 1)
    values = np.repeat(cells, 2, axis=0)
    rng = np.random.default_rng(seed)
    codes = np.hstack([values @ np.diag([1, 2, 0.5]) + noise * rng.standard_normal(values.shape), 0.01 * rng.standard_normal((180, 1))])
    return Factors(values, ("nominal", "continuous", "continuous"), ("wave", "pitch", "level")), Codes(codes)


def above_chance(accuracy, factors=3):
    return (accuracy - 1 / factors) / (1 - 1 / factors)


def test_z_diff_is_its_definition_over_the_same_pairs():
    factors, codes = grid(noise=1.5)
    fixed = np.random.default_rng([6, 1]).integers(3, size=900)
    labels, z = factors.labels(), codes.values
    points, seen = np.full((900, 4), np.nan), 0
    for where, first, second in interventions.difference_pairs(factors, fixed, 6, 10, 20):
        for point, left, right in zip(where, first, second, strict=True):
            k = fixed[point]
            assert (labels[left, k] == labels[right, k]).all() and (left != right).all()
            points[point] = sum(abs(z[a] - z[b]) for a, b in zip(left, right, strict=True)) / 20
            seen += 1
    assert seen == 900
    model = LogisticRegression(max_iter=10_000, tol=1e-8).fit(points[:600], fixed[:600])
    expected = above_chance(np.mean(model.predict(points[600:]) == fixed[600:]))
    assert 0.2 < expected < 1, "a middling score tells mistakes from luck"
    assert metrics.z_diff(factors, codes, 6, batch=20, train_points=600, test_points=300) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["z_min_var", "z_max_var"])
def test_variance_metrics_are_their_definitions_over_the_same_batches(name):
    factors, codes = grid(noise=0.6)
    bins = 10 if name == "z_min_var" else 3
    labels, z = factors.labels(bins), codes.values
    groups = []
    for k in range(3):
        wanted = labels[:, k] if name == "z_min_var" else np.array([hash(tuple(np.delete(row, k))) for row in labels])
        groups.append(wanted)
    made = [interventions.grouped(np.unique(w, return_inverse=True)[1], "test") for w in groups]
    if name == "z_max_var":  # the groups' own order decides which a number draws
        made = [interventions.grouped(np.unique(np.delete(labels, k, 1), axis=0, return_inverse=True)[1].ravel(), "test") for k in range(3)]
    factor, rows = interventions.batches(made, 9, 12, 300)
    rows_for_variance = interventions.variance_rows(180, 9)
    assert sorted(rows_for_variance) == list(range(180))
    overall = [np.var(z[:, j], ddof=1) for j in range(4)]
    kept = [j for j in range(4) if overall[j] ** 0.5 >= 0.05]
    assert kept == [0, 1, 2]
    votes, choose = np.zeros((4, 3)), min if name == "z_min_var" else max
    chosen = []
    for k, batch in zip(factor, rows, strict=True):
        assert len(set(groups[k][batch])) == 1
        chosen.append(choose(kept, key=lambda j: np.var(z[batch, j], ddof=1) / overall[j]))
    for code, k in zip(chosen[:200], factor[:200], strict=True):
        votes[code, k] += 1
    expected = above_chance(np.mean([votes[code].argmax() == k for code, k in zip(chosen[200:], factor[200:], strict=True)]))
    assert 0.1 < expected < 1
    found = getattr(metrics, name)(factors, codes, 9, batch=12, train_points=200, test_points=100)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("quantile", [1.0, 0.99])
def test_irs_is_its_definition(quantile):
    factors, codes = grid()
    labels, z = factors.labels(), codes.values
    weights, scores = [], []
    for j in range(4):
        greatest = max(abs(x - np.mean(z[:, j])) for x in z[:, j])
        best = 0
        for k in range(3):
            away = []
            for label in set(labels[:, k]):
                some = z[labels[:, k] == label, j]
                away.append(np.percentile(abs(some - some.mean()), 100 * quantile))
            best = max(best, 1 - np.mean(away) / greatest)
        weights.append(greatest)
        scores.append(best)
    assert metrics.irs(factors, codes, quantile) == pytest.approx(np.average(scores, weights=weights), abs=1e-6)


def test_perfect_codes_are_told_and_noise_is_not():
    factors, _ = grid()
    perfect, noise = Codes(factors.values), metrics.random_codes(180, 3, (1,))
    for name in ("z_diff", "z_min_var", "z_max_var"):
        found = metrics.evaluate(factors, perfect, (name,))[name], metrics.evaluate(factors, noise, (name,))[name]
        assert found[0] == pytest.approx(1.0) and found[1] < 0.8, name
    assert metrics.irs(factors, perfect) == pytest.approx(1.0) and metrics.irs(factors, noise) < 0.5


def test_the_seed_decides_the_draws():
    factors, codes = grid(noise=0.6)
    for name in ("z_min_var", "z_max_var"):
        values = [metrics.evaluate(factors, codes, (name,), seed)[name] for seed in (0, 0, 1, 2, 3)]
        assert values[0] == values[1] and len(set(values)) > 1


def test_groups_draw_uniformly_among_values_and_only_from_pairs():
    labels = np.array([0] * 3 + [1] * 1 + [2] * 30)
    groups = interventions.grouped(labels, "test")
    first, second = groups.draw_pairs(np.random.default_rng(0), 20_000)
    assert set(labels[first]) == {0, 2} and (labels[first] == labels[second]).all() and (first != second).all()
    assert np.mean(labels[first] == 0) == pytest.approx(0.5, abs=0.02)
    counts = np.bincount(first[labels[first] == 0] * 3 + second[labels[first] == 0], minlength=9).reshape(3, 3)
    assert counts.sum(1) == pytest.approx(counts.sum() / 3, rel=0.06) and np.diag(counts).sum() == 0


def test_grids_without_pairs_are_refused():
    factors = Factors(np.arange(6.0).reshape(3, 2), ("nominal", "nominal"), ("a", "b"))
    for metric in (metrics.z_diff, metrics.z_min_var, metrics.z_max_var):
        with pytest.raises(InvalidValueError, match="no two clips share"):
            metric(factors, Codes(np.eye(3)))
