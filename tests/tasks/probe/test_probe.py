import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import check_grad
from torchmetrics.functional.classification import binary_average_precision

from core.context import Context
from core.errors import InvalidValueError
from tasks.probe import linear, networks, stage
from tasks.probe.spec import Request, Settings
from tasks.probe.task import read, standardized
from tasks.probing.folds import folds
from tasks.probing.scores import average_precision, score

QUICK = {"arch_epochs": 25, "arch_rate": 0.05, "hear_epochs": 60, "hear_width": 16, "hear_rates": (0.01,), "hear_grid_points": 2}
FOLDER = "stages/embed/aa"


def write(root, clips=150, classes=3, dimensions=6, apart=3.0, folds_=5, split=False, several=False, seed=0):
    """Write embeddings: clouds around a centre for each class, far apart or all in one place."""
    rng = np.random.default_rng(seed)
    own = np.arange(clips) % classes
    centres = apart * rng.standard_normal((classes, dimensions))
    array = (centres[own] + rng.standard_normal((clips, dimensions)) + 100.0).astype(np.float32)
    labels = [f"c{number}" for number in own]
    if several:
        labels = [f"{name};loud" if value > 100 else name for name, value in zip(labels, array[:, 0], strict=True)]
    names = [("train", "train", "train", "val", "test")[number % 5] for number in rng.permutation(clips)] if split else [""] * clips
    fold = [str(number % folds_ + 8) if folds_ else "" for number in rng.permutation(clips)]  # 8 … 12: not in the order of their text
    table = pd.DataFrame({"clip_id": [f"clip{number}" for number in range(clips)], "label": labels, "split": names, "fold": fold})
    table["heard"] = [number < 4 for number in range(clips)]
    folder = root / FOLDER
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", array)
    table.to_parquet(folder / "table.parquet", index=False)
    return array, table


def probe(root, name="linear", output="run", **settings):
    folder = root / "stages/probe" / output
    folder.mkdir(parents=True, exist_ok=True)
    request = Request(FOLDER, name, Settings(**{**QUICK, **settings}))
    return stage.run(request, Context(folder, root, threads=1, emit=lambda kind, values: None)), folder


@pytest.mark.parametrize("name", stage.PROBES)
def test_every_probe_names_what_is_apart_and_nothing_else(tmp_path, name):
    write(tmp_path / "easy")
    write(tmp_path / "hopeless", apart=0.0)
    # ARCH and HEAR take embeddings as they are: bring the clouds near zero for them.
    for root in (tmp_path / "easy", tmp_path / "hopeless"):
        np.save(root / FOLDER / "embeddings.npy", np.load(root / FOLDER / "embeddings.npy") - 100)
    easy, folder = probe(tmp_path / "easy", name)
    assert easy.metric == "accuracy" and easy.score > 0.85 and easy.clips == 150 and easy.heard == 4 and easy.chance < 0.45
    assert list(easy.fold_scores) == ["8", "9", "10", "11", "12"] and easy.interval[0] <= easy.score <= easy.interval[1]
    assert set(easy.per_class_score) == {"c0", "c1", "c2"} and set(easy.chosen) == set(easy.fold_scores)
    hopeless, _ = probe(tmp_path / "hopeless", name)
    assert 0.2 < hopeless.score < 0.47
    table = pd.read_parquet(folder / "predictions.parquet")
    assert sorted(table["clip_id"]) == sorted(f"clip{number}" for number in range(150)), "each clip is a test clip once"
    by_fold = (table["label"] == table["predicted"]).groupby(table["fold"]).mean()
    assert easy.fold_scores == pytest.approx(by_fold.to_dict()) and easy.score == pytest.approx(by_fold.mean())
    written = json.loads((folder / "scores.json").read_text())
    assert written["score"] == easy.score and written["probe"] == name and written["settings"]["hear_dropout"] == 0.1
    _, again = probe(tmp_path / "easy", name, "again")
    for file in ("scores.json", "predictions.parquet"):
        assert (again / file).read_bytes() == (folder / file).read_bytes(), "the same bytes"


@pytest.mark.parametrize("name", stage.PROBES)
def test_test_clips_have_no_say(tmp_path, name):
    """What a fold's test clips are called changes none of its predictions."""
    array, table = write(tmp_path, split=True, folds_=0, clips=60)
    np.save(tmp_path / FOLDER / "embeddings.npy", array - 100)
    _, before = probe(tmp_path, name, "before", hear_epochs=4, arch_epochs=4)
    tested = table["split"] == "test"
    table.loc[tested, "label"] = np.roll(table.loc[tested, "label"], 1)
    table.to_parquet(tmp_path / FOLDER / "table.parquet", index=False)
    _, after = probe(tmp_path, name, "after", hear_epochs=4, arch_epochs=4)
    one, other = (pd.read_parquet(folder / "predictions.parquet") for folder in (before, after))
    columns = [column for column in one if column.startswith("score_")]
    assert np.array_equal(one[columns], other[columns]) and one["fold"].eq("test").all() and len(one) == tested.sum()


def test_rounds_test_each_fold_once_and_the_next_one_validates(tmp_path):
    _, table = write(tmp_path)
    task = read(tmp_path / FOLDER, Settings())
    rounds = folds(task.table, "auto", 0, "here")
    assert [fold.name for fold in rounds] == ["8", "9", "10", "11", "12"]
    for number, fold in enumerate(rounds):
        assert set(table["fold"][fold.val]) == {rounds[(number + 1) % 5].name} and set(table["fold"][fold.test]) == {fold.name}
        assert sorted([*fold.train, *fold.val, *fold.test]) == list(range(150))
    with pytest.raises(InvalidValueError, match="a split has no clips"):
        folds(task.table, "split", 0, "here")
    task.table["fold"] = "1"
    with pytest.raises(InvalidValueError, match="too few folds"):
        folds(task.table, "fold", 0, "here")


def test_the_standard_scale_comes_from_training_clips_only():
    array = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 9.0]], np.float32)
    found = standardized(array, np.array([0, 1]))
    assert found[:2].tolist() == [[-1.0, 0.0], [1.0, 0.0]] and found[2].tolist() == [98.0, 0.0], "a dimension that does not vary is 0"


@pytest.mark.parametrize("several", [False, True])
def test_logistic_regression_is_at_the_lowest_point_of_its_formula(several):
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((40, 3)), np.eye(3)[rng.integers(3, size=40)]
    if several:
        targets[::4] = 1.0
    weights = linear.logistic(inputs, targets, 0.5, several)

    def formula(flat):
        own = torch.from_numpy(flat.reshape(4, 3))
        logits = torch.from_numpy(inputs) @ own[:3] + own[3]
        kind = torch.nn.functional.binary_cross_entropy_with_logits if several else torch.nn.functional.cross_entropy
        return float(kind(logits, torch.from_numpy(targets), reduction="sum") + own[:3].square().sum())  # 1 / (2 · 0.5)

    assert check_grad(formula, lambda flat: np.zeros_like(flat), weights.ravel()) < 1e-2, "no slope is left"
    lowest = formula(weights.ravel())
    for _ in range(20):
        assert formula(weights.ravel() + 0.05 * rng.standard_normal(12)) > lowest
    assert np.allclose(linear.applied(weights, inputs.astype(np.float32)), inputs @ weights[:3] + weights[3], atol=1e-5)


@pytest.mark.parametrize("clips", [30, 200])
def test_ill_scaled_embeddings_and_any_start_end_at_the_same_point(clips):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((clips, 50)) @ np.diag(np.logspace(0, -4, 50)) @ rng.standard_normal((50, 50)) + 3
    targets = np.eye(4)[rng.integers(4, size=clips)]
    first = linear.logistic(inputs, targets, 10.0, False)
    again = linear.logistic(linear.design(inputs), targets, 10.0, False, linear.logistic(inputs, targets, 0.1, False))
    assert np.allclose(linear.applied(first, inputs), linear.applied(again, inputs), atol=5e-3)
    slope = np.exp(linear.applied(first, inputs))
    slope = slope / slope.sum(1, keepdims=True) - targets
    assert np.abs(inputs.T @ slope + first[:-1] / 10).max() < 2e-3 * clips and np.abs(slope.sum(0)).max() < 1e-3 * clips


def test_the_penalty_is_chosen_on_validation_clips_and_weighs_as_said(tmp_path):
    write(tmp_path, apart=0.7)
    result, _ = probe(tmp_path)
    found, _ = probe(tmp_path, output="one", linear_penalties=(1e-6,))
    assert set(found.chosen.values()) == {"C = 1e-06"} and found.val_score <= result.val_score
    assert all(float(words.removeprefix("C = ")) in Settings().linear_penalties for words in result.chosen.values())
    unfit, _ = probe(tmp_path, output="unfit", refit=False)
    assert unfit.val_score == result.val_score and unfit.fold_scores != result.fold_scores


def test_neighbours_vote_by_cosine():
    known, targets = np.array([[1.0, 0.0], [10.0, 1.0], [0.0, 1.0]]), np.eye(2)[[0, 0, 1]]
    found = linear.neighbours(known, targets, np.array([[2.0, 0.0]]), 2)
    assert found[0].tolist() == pytest.approx([1.0, 0.0])
    near = 2 + 1 + 10 / np.sqrt(101)
    assert linear.neighbours(known, targets, np.array([[2.0, 0.0]]), 50)[0].tolist() == pytest.approx([near / (near + 1), 1 / (near + 1)])


def test_average_precision_is_torchmetrics_also_with_equal_scores():
    rng = np.random.default_rng(1)
    for digits in (1, 8):
        scores, wanted = np.round(rng.random(50), digits), rng.random(50) < 0.3
        expected = float(binary_average_precision(torch.from_numpy(scores), torch.from_numpy(wanted.astype(np.int64))))
        assert average_precision(scores, wanted.astype(float)) == pytest.approx(expected, abs=1e-5)
    assert score(np.array([[0.2, 0.9], [0.8, 0.1]]), np.eye(2), "one", "accuracy") == 0.0
    assert score(np.array([[0.9, 0.2, 0.5], [0.8, 0.9, 0.1]]), np.array([[1.0, 0, 0], [0, 1.0, 0]]), "several", "mAP") == 1.0, (
        "a class nobody has is left out"
    )


@pytest.mark.parametrize("name", ["linear", "hear", "knn"])
def test_several_labels_a_clip_give_mean_average_precision(tmp_path, name):
    array, _ = write(tmp_path, several=True)
    np.save(tmp_path / FOLDER / "embeddings.npy", array - 100)
    result, _ = probe(tmp_path, name, label_separator=";")
    assert result.metric == "mAP" and result.classes == ("c0", "c1", "c2", "loud") and result.score > 0.8 > 0.6 > result.chance
    assert set(result.per_class_score) == set(result.classes)


@pytest.mark.parametrize("name", stage.PROBES)
def test_one_label_a_clip_may_be_scored_by_mean_average_precision_of_likelihoods(tmp_path, name):
    array, _ = write(tmp_path, apart=0.6)
    np.save(tmp_path / FOLDER / "embeddings.npy", array - 100)
    result, folder = probe(tmp_path, name, metric="mAP")
    table = pd.read_parquet(folder / "predictions.parquet")
    names = [f"score_{label}" for label in result.classes]
    assert np.allclose(table[names].sum(1), 1, atol=1e-5), "shares of one clip, comparable between clips"
    one = table[table["fold"] == "9"]
    expected = [
        float(
            binary_average_precision(
                torch.tensor(one[f"score_{label}"].to_numpy()), torch.tensor((one["label"] == label).to_numpy().astype(int))
            )
        )
        for label in result.classes
    ]
    assert result.metric == "mAP" and result.fold_scores["9"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert result.chance == pytest.approx(1 / 3, abs=0.02) and set(result.per_class_score) == set(result.classes)
    with pytest.raises(InvalidValueError, match="several labels"):
        probe(tmp_path, name, "no", metric="accuracy", label_separator=";")


def test_arch_may_validate_on_the_next_fold_as_for_vivae(tmp_path, monkeypatch):
    _, table = write(tmp_path)
    seen = []
    monkeypatch.setattr(
        stage.networks, "arch", lambda data, settings: seen.append(data) or networks.Probe(torch.nn.Linear(6, 3), data, 0.0, "")
    )
    for share in (0.0, 0.2):
        probe(tmp_path, "arch", f"share{share}", arch_val_fraction=share)
    following = {"8": "9", "9": "10", "10": "11", "11": "12", "12": "8"}
    assert [len(data.val_inputs) for data in seen[:5]] == [(table["fold"] == following[name]).sum() for name in following]
    assert [len(data.val_inputs) for data in seen[5:]] == [24] * 5


def test_hears_networks_and_grid_are_the_published_ones():
    grid = networks.hear_grid(Settings(hear_grid_points=16))
    assert len(set(grid)) == 16 and {point[1] for point in grid} == {3.2e-3, 1e-3, 3.2e-4, 1e-4}
    assert len(networks.hear_grid(Settings())) == 8 and networks.hear_grid(Settings(seed=1)) != networks.hear_grid(Settings())
    torch.manual_seed(0)
    network = networks.HearNetwork((512, 10), 2, Settings(), "uniform")
    kinds = [type(part).__name__ for part in network]
    assert kinds == ["Linear", "BatchNorm1d", "Dropout", "ReLU"] * 2 + ["Linear"] and network[2].p == 0.1
    for number, gain, sizes in ((0, 1, (512, 1024)), (4, 2**0.5, (1024, 1024)), (8, 2**0.5, (1024, 10))):
        bound = gain * (6 / sum(sizes)) ** 0.5
        weights = network[number].weight
        assert weights.shape == sizes[::-1] and 0.98 * bound < float(weights.detach().abs().max()) <= bound


def test_arch_counts_the_weights_of_the_lowest_validation_loss(tmp_path):
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(24, 40, generator=generator), torch.eye(2)[torch.randint(2, (24,), generator=generator)]
    data = networks.Data(inputs[:12], targets[:12], inputs[12:], targets[12:], kind="one", metric="accuracy", seed=0)
    found = networks.arch(data, Settings(arch_epochs=60, arch_rate=0.05))
    best = int(found.chosen.removeprefix("pass "))
    assert best < 60, "a linear layer with more inputs than clips fits noise"
    stopped = networks.arch(data, Settings(arch_epochs=best, arch_rate=0.05))
    assert torch.equal(stopped.model.weight, found.model.weight)


def test_bad_embeddings_and_settings_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="no embeddings"):
        read(tmp_path, Settings())
    write(tmp_path, classes=1)
    with pytest.raises(InvalidValueError, match="two labels"):
        read(tmp_path / FOLDER, Settings())
    for wrong in ({"linear_penalties": ()}, {"neighbours": (0,)}, {"hear_dropout": 1.0}, {"arch_val_fraction": -0.1}):
        with pytest.raises(InvalidValueError, match=next(iter(wrong))):
            Settings(**wrong)


def test_numbers_of_the_parameters_are_told_by_ridge_and_by_neighbours(tmp_path):
    array, table = write(tmp_path, folds_=0)
    scaled = array - 100
    table["parameters"] = [json.dumps({"synth": {"unit": [float(row[0] - 2 * row[1]), float(row[2])]}, "seed": "a"}) for row in scaled]
    table.to_parquet(tmp_path / FOLDER / "table.parquet", index=False)
    result, folder = probe(tmp_path, target="synth.unit", folds="drawn")
    assert result.metric == "R2" and result.classes == ("synth.unit.0", "synth.unit.1") and result.score > 0.99 and result.chance == 0.0
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert sorted(predictions["clip_id"]) == sorted(table["clip_id"]) and predictions["fold"].nunique() == 5
    one = predictions[predictions["fold"] == "1"]
    truth, found = one["true_synth.unit.1"], one["score_synth.unit.1"]
    assert 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() > 0.99
    nearest, _ = probe(tmp_path, "knn", target="synth.unit", folds="drawn")
    assert 0.3 < nearest.score < result.score
    with pytest.raises(InvalidValueError, match="no number there"):
        probe(tmp_path, target="seed", folds="drawn")
    with pytest.raises(InvalidValueError, match="label"):
        Request(FOLDER, "hear", Settings(target="synth.unit"))


def test_ridge_is_at_the_lowest_point_of_its_formula():
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((20, 3)) + 5, rng.standard_normal((20, 2)) - 3
    found = linear.ridge(inputs, targets, 0.2)
    wide = np.hstack([inputs, np.ones((20, 1))])
    slope = wide.T @ (wide @ found - targets) + np.diag([5.0, 5.0, 5.0, 0.0]) @ found
    assert np.allclose(slope, 0, atol=1e-9)
