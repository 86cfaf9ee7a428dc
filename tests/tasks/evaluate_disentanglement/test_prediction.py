"""SAP, DCI, explicitness and UDR against scikit-learn and SciPy used the plain way: one fit for everything."""

import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import minmax_scale
from sklearn.tree import DecisionTreeClassifier

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement import metrics
from tasks.evaluate_disentanglement.metrics import Codes, Factors, lasso
from tests.tasks.evaluate_disentanglement.samples import sample


def test_sap_is_a_fit_for_every_factor_and_code():
    factors, codes = sample(count=300)
    z = minmax_scale(codes.values)
    table = np.zeros((3, 5))
    for k in range(3):
        v = factors.values[:, k]
        for j in range(5):
            column = z[:, j : j + 1]
            if k:
                table[k, j] = max(0, r2_score(v, LinearRegression().fit(column, v).predict(column)))
            else:
                folds = StratifiedKFold(10, shuffle=True, random_state=4)
                accuracy = max(
                    cross_val_score(DecisionTreeClassifier(max_depth=depth, random_state=4), column, v, cv=folds).mean()
                    for depth in range(1, 10)
                )
                chance = max(np.mean(v == label) for label in range(4))
                table[k, j] = max(0, (accuracy - chance) / (1 - chance))
    expected = np.mean([sorted(row)[-1] - sorted(row)[-2] for row in table])
    assert metrics.sap(factors, codes, seed=4) == pytest.approx(expected, abs=1e-6)
    table[0] = [
        max(0, r2_score(factors.values[:, 0], LinearRegression().fit(z[:, [j]], factors.values[:, 0]).predict(z[:, [j]]))) for j in range(5)
    ]
    expected = np.mean([sorted(row)[-1] - sorted(row)[-2] for row in table])
    assert metrics.sap(factors, codes, "regression") == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InvalidValueError, match="no such form"):
        metrics.sap(factors, codes, "classification")


def dci_by_loops(importance):
    """Disentanglement and completeness by the definition, in loops; a code without importance is passed over."""
    factors, codes = importance.shape
    disentanglement = 0.0
    for j in range(codes):
        if importance[:, j].sum() > 0:
            p = importance[:, j] / importance[:, j].sum()
            entropy = -sum(x * np.log(x) / np.log(factors) for x in p if x > 0)
            disentanglement += importance[:, j].sum() / importance.sum() * (1 - entropy)
    completeness = []
    for k in range(factors):
        p = importance[k] / importance[k].sum()
        completeness.append(1 + sum(x * np.log(x) / np.log(codes) for x in p if x > 0))
    return disentanglement, np.mean(completeness)


def test_dci_lasso_is_scikit_learns_lasso_in_every_fold():
    factors, codes = sample(count=400)
    seed, alphas = 3, [0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1]
    z, fold = minmax_scale(codes.values), lasso.folds_of(400, seed)
    assert np.bincount(fold).tolist() == [40] * 10
    importance, known = np.zeros((3, 5)), []
    for k in range(3):
        v = factors.values[:, k]
        targets = [(v == label).astype(float) for label in range(4)] if k == 0 else [minmax_scale(v)]
        made = {}
        for alpha in alphas:
            predictions = np.zeros((400, len(targets)))
            for held in range(10):
                for t, y in enumerate(targets):
                    model = Lasso(alpha, tol=1e-12, max_iter=100_000).fit(z[fold != held], y[fold != held])
                    predictions[fold == held, t] = model.predict(z[fold == held])
            made[alpha] = predictions
        y = np.stack(targets, 1)
        best = min(alphas, key=lambda a: np.mean([((made[a] - y)[fold == held] ** 2).mean() for held in range(10)]))
        importance[k] = np.mean([np.abs(Lasso(best, tol=1e-12, max_iter=100_000).fit(z, t).coef_) for t in targets], axis=0)
        if k == 0:
            centres = [made[best][v == label].mean(0) for label in range(4)]
            named = [min(range(4), key=lambda c: ((row - centres[c]) ** 2).sum()) for row in made[best]]
            chance = np.bincount(v.astype(int)).max() / 400
            known.append(max(0, (np.mean(named == v) - chance) / (1 - chance)))
        else:
            known.append(max(0, 1 - 12 * ((made[best] - y) ** 2).mean()))
    found = metrics.dci_lasso(factors, codes, seed)
    assert found.importance == pytest.approx(importance, abs=1e-6)
    expected = (*dci_by_loops(importance), np.mean(known))
    assert (found.disentanglement, found.completeness, found.informativeness) == pytest.approx(expected, abs=1e-6)


def test_dci_forest_is_the_whole_search_without_its_short_cut():
    factors, codes = sample(count=150)
    seed = 5
    order = np.random.default_rng([seed, 11]).permutation(150)
    test, fit = order[:50], order[50:]
    z, values = ((x - x.min(0)) / np.maximum(np.ptp(x, 0), 1e-9) for x in (codes.values, factors.values))  # trees see rounding
    importance, known = np.zeros((3, 5)), []
    for k in range(3):
        v = factors.values[:, k] if k == 0 else values[:, k]
        maker = RandomForestClassifier if k == 0 else RandomForestRegressor
        errors = {}
        for share in (0.2, 0.4, 0.8, 1.0):
            for depth in (8, 16, 32, 64, 128):
                wrong = []
                for held in range(3):
                    inside, outside = fit[np.arange(100) % 3 != held], fit[np.arange(100) % 3 == held]
                    model = maker(10, max_depth=depth, max_features=share, random_state=seed).fit(z[inside], v[inside])
                    missed = model.predict(z[outside])
                    wrong.append(np.mean(missed != v[outside]) if k == 0 else np.mean((missed - v[outside]) ** 2))
                errors[share, depth] = sum(wrong)
        share, depth = min(errors, key=errors.get)
        model = maker(10, max_depth=depth, max_features=share, random_state=seed).fit(z[fit], v[fit])
        importance[k] = model.feature_importances_
        if k == 0:
            chance = np.bincount(v[test].astype(int)).max() / 50
            known.append(max(0, (model.score(z[test], v[test]) - chance) / (1 - chance)))
        else:
            known.append(max(0, 1 - 12 * ((model.predict(z[test]) - v[test]) ** 2).mean()))
    found = metrics.dci_forest(factors, codes, seed)
    assert found.importance == pytest.approx(importance, abs=1e-6)
    expected = (*dci_by_loops(importance), np.mean(known))
    assert (found.disentanglement, found.completeness, found.informativeness) == pytest.approx(expected, abs=1e-6)


def test_dci_of_known_importances():
    """A code without importance in the middle does not end the sum, as it does in the Ubisoft code."""
    from tasks.evaluate_disentanglement.metrics import dci

    one_to_one = dci.scored(np.array([[1.0, 0, 0], [0, 0, 3.0]]), np.array([1.0, 0.5]))
    assert (one_to_one.disentanglement, one_to_one.completeness, one_to_one.informativeness) == pytest.approx((1, 1, 0.75))
    spread = dci.scored(np.ones((2, 4)), np.zeros(2))
    assert (spread.disentanglement, spread.completeness) == pytest.approx((0, 0), abs=1e-12)
    nothing = dci.scored(np.zeros((2, 4)), np.zeros(2))
    assert (nothing.disentanglement, nothing.completeness) == (0, 0)


def test_a_forest_that_learnt_noise_by_heart_is_not_informative():
    factors, codes = sample(count=200)
    known = Factors(factors.values[:, :2], factors.kinds[:2])  # uniform ones
    noise = metrics.random_codes(200, 8, (0,))
    assert metrics.dci_forest(known, noise).informativeness < 0.05 < 0.5 < metrics.dci_forest(known, codes).informativeness


def test_explicitness_is_scikit_learns_regression_and_roc_area():
    factors, codes = sample(count=400)
    z, labels, areas = minmax_scale(codes.values), factors.labels(), []
    for k in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=20_000).fit(z, labels[:, k])
        areas.append(roc_auc_score(labels[:, k], model.predict_proba(z), multi_class="ovr", average="macro"))
    assert metrics.explicitness(factors, codes) == pytest.approx(2 * (np.mean(areas) - 0.5), abs=1e-6)


def test_explicitness_of_two_classes():
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(2, size=300), rng.standard_normal((300, 2))
    codes[:, 0] += labels
    factors = Factors(labels[:, None], ("nominal",))
    model = LogisticRegression(class_weight="balanced", tol=1e-10).fit(minmax_scale(codes), labels)
    expected = 2 * roc_auc_score(labels, model.predict_proba(minmax_scale(codes))[:, 1]) - 1
    assert metrics.explicitness(factors, Codes(codes)) == pytest.approx(expected, abs=1e-6)


def plain_similarity(first, second, form):
    standard = [(z - z.mean(0)) / z.std(0) for z in (first, second)]
    if form == "lasso":
        relation = np.abs(np.stack([Lasso(0.1, tol=1e-12).fit(standard[0], y).coef_ for y in standard[1].T], 1))
    else:
        relation = np.array([[abs(spearmanr(x, y).statistic) for y in second.T] for x in first.T])
    score = sum(max(column) ** 2 / sum(column) for column in relation.T if sum(column))
    score += sum(max(row) ** 2 / sum(row) for row in relation if sum(row))
    return score / sum(relation.shape)


@pytest.mark.parametrize("form", ["lasso", "spearman"])
def test_udr_is_the_median_similarity_of_informative_codes(form):
    rng = np.random.default_rng(1)
    base = rng.standard_normal((300, 4))
    models = []
    for _ in range(4):
        mixed = base @ (np.eye(4)[rng.permutation(4)] + 0.3 * rng.standard_normal((4, 4)))
        values = np.hstack([mixed, 1e-3 * rng.standard_normal((300, 1))])  # the last one carries no information: KL ≈ 0
        models.append(Codes(values, np.hstack([np.full((300, 4), -4.0), np.full((300, 1), 0.0)])))
    expected = np.median([plain_similarity(other.values[:, :4], models[0].values[:, :4], form) for other in models[1:]])
    assert metrics.udr(models[0], models[1:], form) == pytest.approx(expected, abs=1e-6)
    permuted = Codes(-models[0].values[:, [2, 0, 4, 1, 3]], models[0].log_variance[:, [2, 0, 4, 1, 3]])
    assert metrics.udr(models[0], [permuted], form) > expected
    collapsed = Codes(np.zeros((300, 5)), np.zeros((300, 5)))
    assert metrics.udr(models[0], [collapsed], form) == 0 == metrics.udr(collapsed, models[1:], form)


def test_udr_finds_the_disentangled_model():
    """Independent codes found again in another order score 1; rotations of them score less."""
    rng = np.random.default_rng(2)
    base = rng.uniform(-1, 1, (500, 5))
    turned = [np.linalg.qr(rng.standard_normal((5, 5)))[0] for _ in range(3)]
    aligned = [Codes(base[:, rng.permutation(5)]) for _ in range(3)]
    rotated = [Codes(base @ turn) for turn in turned]
    assert metrics.udr(Codes(base), aligned) == pytest.approx(0.9, abs=0.02)  # Lasso takes its penalty of 0.1
    assert metrics.udr(Codes(base), rotated) < 0.5
    with pytest.raises(InvalidValueError, match="other seeds"):
        metrics.udr(Codes(base), [])
    with pytest.raises(InvalidValueError, match="takes Codes"):
        metrics.udr(Codes(base), [base])
    with pytest.raises(InvalidValueError, match="other clips"):
        metrics.udr(Codes(base), [Codes(base[:-1])])
