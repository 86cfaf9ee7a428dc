import json
import sys
import types

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn.linear_model import LogisticRegression

from core.context import Context
from core.errors import InvalidValueError
from tasks.evaluate_preset_encoder import pools, projection, stage
from tasks.evaluate_preset_encoder.spec import Request, Settings
from tasks.preset_encoders import gap
from tasks.preset_encoders.encoder import load
from tasks.preset_encoders.inference import embed
from tasks.preset_encoders.protocols import rankings, subset
from tasks.presets.reading import open_presets
from tests.tasks.train_preset_encoder.sets import FOLDER, embeddings_of, train, write

HANDS = "stages/render_presets/hands"
MODEL = "stages/train_preset_encoder/run"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write(root)
    write(root, 60, HANDS, seed=8, origin="hand_crafted", embed=lambda *a: embeddings_of(*a) + 1)
    train(root, epochs=8, sizes={"hidden": 32})
    return root


def evaluate(root, name, hands=HANDS, emit=lambda kind, values: None, fields=None, **settings):
    output = root / "stages/evaluate_preset_encoder" / name
    output.mkdir(parents=True, exist_ok=True)
    small = {"rankings": 16, "candidates": 8, "subset": 40, "runs": 3, "projection": "none", **settings}
    request = Request(**{"model": MODEL, "sampled": FOLDER, "hand_crafted": hands, **(fields or {}), "settings": Settings(**small)})
    return stage.run(request, Context(output, root, emit=emit)), output


def embeddings(root, folder=FOLDER, split="test"):
    """Normalised embeddings of presets and sounds in float64, the spread, and the places."""
    encoder, presets = load(root / MODEL)[0], open_presets(root / folder)
    rows = presets.rows(split)
    middle, spread = encoder.middle.numpy(), encoder.spread.numpy()
    found, heard = embed(encoder, presets.parameters[rows]), presets.embeddings[rows]
    return (found - middle) / spread, (np.asarray(heard) - middle) / spread, spread, rows


def ranks_by_loops(found, heard):
    """Rank of each preset's own sound among all sounds, and of each sound's own preset, by L1."""
    far = np.array([[np.abs(x - y).sum() for y in heard] for x in found])
    return [1 + (far[k] < far[k, k]).sum() for k in range(len(far))], [1 + (far[:, k] < far[k, k]).sum() for k in range(len(far))]


def test_every_score_equals_loops(data_root):
    result, output = evaluate(data_root, "scores", pool_sizes=(8, 10_000))
    told = json.loads((output / "scores.json").read_text())
    found, heard, spread, _ = embeddings(data_root)
    forth, back = [], []
    for run in range(3):
        some = subset(80, 40, 42 + run)
        ranks = ranks_by_loops(found[some], heard[some])
        forth.append(np.array(ranks[0]))
        back.append(np.array(ranks[1]))
    sampled = told["sampled"]
    for name, ranks in (("preset_query", forth), ("audio_query", back)):
        scores = scores_of(sampled)
        mrr = [(1 / one).mean() for one in ranks]
        assert scores[name]["mrr"] == pytest.approx({"mean": np.mean(mrr), "sd": np.std(mrr, ddof=1)}, abs=1e-6)
        at_two = np.mean([np.where(one <= 2, 1 / one, 0).mean() for one in ranks])
        assert scores[name]["mrr@2"]["mean"] == pytest.approx(at_two) and scores[name]["recall@5"]["mean"] == pytest.approx(
            np.mean([(one <= 5).mean() for one in ranks]))  # fmt: skip
        assert scores[name]["median_normalised_rank"]["mean"] == pytest.approx(np.mean([np.median(one / 40) for one in ranks]))
    assert result.mrr == scores_of(sampled)["preset_query"]["mrr"]["mean"] and result.subset == 40
    assert result.mrr_audio_query == scores_of(sampled)["audio_query"]["mrr"]["mean"]
    assert sampled["l1"] == result.l1 == pytest.approx((np.abs(found - heard) * spread).mean(), rel=1e-5)
    assert sampled["chance"]["mrr"] == result.chance_mrr == pytest.approx((1 / np.arange(1, 41)).mean())
    whole = ranks_by_loops(found, heard)[0]
    assert sampled["pool_sizes"]["80"]["preset_query"]["mrr"] == {"mean": pytest.approx((1 / np.array(whole)).mean()), "sd": 0.0}
    assert sampled["pool_sizes"]["8"]["preset_query"]["mrr"]["mean"] > scores_of(sampled)["preset_query"]["mrr"]["mean"]
    ranks = pd.read_parquet(output / "ranks_sampled.parquet")
    assert ranks["rank_preset_query"].tolist() == forth[0].tolist() and ranks["rank_audio_query"].tolist() == back[0].tolist()


def scores_of(pool):
    return pool["ranks"]


def test_validation_and_hand_crafted_scores_and_their_difference(data_root):
    result, output = evaluate(data_root, "hands")
    told = json.loads((output / "scores.json").read_text())
    found, heard, _, _ = embeddings(data_root, split="val")
    members = rankings(80, 16, 8, 42)
    far = np.array([[np.abs(heard[row[0]] - found[k]).sum() for k in row] for row in members])
    mrr = (1 / (1 + (far < far[:, :1]).sum(1))).mean()
    assert result.val_mrr == told["validation"]["mrr"] == pytest.approx(mrr) and (result.val_rankings, result.val_candidates) == (16, 8)
    assert told["validation"]["each_preset_once"] is False and told["validation"]["chance_mrr"] == pytest.approx(
        (1 / np.arange(1, 9)).mean()
    )
    found, heard, spread, _ = embeddings(data_root, HANDS, "")
    assert result.hand_crafted_l1 == pytest.approx((np.abs(found - heard) * spread).mean(), rel=1e-5) and told["hand_crafted"]["pool"] == 60
    first, second = scores_of(told["sampled"]), scores_of(told["hand_crafted"])
    mrrs = [part["preset_query"]["mrr"]["mean"] for part in (first, second)]
    assert told["difference_percent"]["mrr"] == pytest.approx(-100 * (mrrs[0] - mrrs[1]) / mrrs[0]) and result.hand_crafted_mrr == mrrs[1]
    assert told["difference_percent"]["l1"] == pytest.approx(100 * (result.hand_crafted_l1 - result.l1) / result.l1) and result.l1 > 0
    alone, output = evaluate(data_root, "alone", hands="")
    assert alone.hand_crafted_mrr is None and json.loads((output / "scores.json").read_text())["difference_percent"] is None


def test_pools_no_larger_than_the_subset_take_one_run(data_root):
    _, output = evaluate(data_root, "one_run", subset=4096, hands="")
    sampled = json.loads((output / "scores.json").read_text())["sampled"]
    assert (sampled["runs"], sampled["subset"], sampled["pool"]) == (1, 80, 80) and scores_of(sampled)["preset_query"]["mrr"]["sd"] == 0


def test_distances_looked_up_are_those_worked_out(data_root, monkeypatch):
    _, whole = evaluate(data_root, "whole", hands="")
    monkeypatch.setattr(pools, "WHOLE_MATRIX_ROWS", 10)
    _, parts = evaluate(data_root, "parts", hands="")
    assert (whole / "scores.json").read_bytes() == (parts / "scores.json").read_bytes()


def test_space_decides_on_distances_and_not_on_errors(data_root):
    trained, _ = evaluate(data_root, "trained", hands="", subset=4096)
    raw, output = evaluate(data_root, "raw", hands="", subset=4096, space="embedding")
    found, heard, spread, _ = embeddings(data_root)
    mrr = (1 / np.array(ranks_by_loops(found * spread, heard * spread)[0])).mean()
    assert raw.mrr == pytest.approx(mrr, abs=1e-4) and raw.mrr != trained.mrr
    assert raw.l1 == pytest.approx(trained.l1) and json.loads((output / "scores.json").read_text())["settings"]["space"] == "embedding"


def test_gap_is_none_for_one_cloud_and_whole_for_two():
    rng = np.random.default_rng(0)
    cloud, other = rng.normal(size=(400, 8)), rng.normal(size=(400, 8))
    assert gap.telling_accuracy(cloud, other) == pytest.approx(0.5, abs=0.1) and gap.centroid_distance(cloud, cloud) == 0
    shift = np.array([6.0] + [0.0] * 7)
    assert gap.telling_accuracy(cloud + shift, other - shift) == 1.0
    lengths = [np.array([row / np.sqrt((row**2).sum()) for row in part]).mean(0) for part in (cloud + shift, other - shift)]
    assert gap.centroid_distance(cloud + shift, other - shift) == pytest.approx(np.sqrt(((lengths[0] - lengths[1]) ** 2).sum()))
    assert LogisticRegression().C == 1.0, "scikit-learn's default penalty is the published one"


def test_nearest_presets_are_those_of_a_sort(data_root):
    _, output = evaluate(data_root, "near", hands="", nearest_sounds=4, nearest_presets=3)
    listed = json.loads((output / "nearest.json").read_text())["sampled"]
    found, heard, _, rows = embeddings(data_root)
    assert [one["row"] for one in listed] == rows[[0, 26, 53, 79]].tolist() and listed[0]["sound_of"] == f"sound {rows[0]}"
    for one, place in zip(listed, (0, 26, 53, 79), strict=True):
        far = np.abs(found - heard[place]).sum(1)
        order = np.argsort(far)[:3]
        assert [near["row"] for near in one["nearest"]] == rows[order].tolist()
        assert [near["distance"] for near in one["nearest"]] == pytest.approx(far[order], rel=1e-4)
        assert one["rank_of_own_preset"] == 1 + (far < far[place]).sum()


def test_nearest_presets_of_sound_files(tmp_path):
    """Through the sets' own audio model: a sound whose embedding the set holds is found where that embedding is."""
    from tasks.audio_models.opening import open_audio_model

    model = open_audio_model("mel128")
    rate = model.sample_rate_hz
    tones = [0.3 * np.sin(2 * np.pi * hz * np.arange(rate // 2) / rate).astype(np.float32) for hz in (200, 900, 4000)]
    heard = model(torch.from_numpy(np.stack(tones))).numpy()
    made = lambda spec, presets, dimensions: heard[np.arange(len(presets)) % 3]  # noqa: E731
    write(tmp_path, 90, dimensions=128, embed=made, audio_model=model.identity, duration_s=0.5, sample_rate_hz=rate)
    train(tmp_path, epochs=1)
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/tone.wav", tones[1], rate, subtype="FLOAT")
    _, output = evaluate(tmp_path, "files", hands="", fields={"sounds": str(tmp_path / "sounds")}, nearest_presets=2)
    (one,) = json.loads((output / "nearest.json").read_text())["sounds"]
    found, _, _, rows = embeddings(tmp_path)
    encoder = load(tmp_path / MODEL)[0]
    query = (heard[1] - encoder.middle.numpy()) / encoder.spread.numpy()
    order = np.argsort(np.abs(found - query).sum(1))[:2]
    assert one["file"] == "tone.wav" and [near["row"] for near in one["nearest"]["sampled"]] == rows[order].tolist()
    with pytest.raises(InvalidValueError, match="no sound files"):
        evaluate(tmp_path, "none", hands="", fields={"sounds": str(tmp_path / "nothing")})


def test_principal_components_are_fitted_on_sounds_and_presets_lie_in_the_same_map(data_root):
    _, output = evaluate(data_root, "pca", projection="pca", projection_points=50)
    table = pd.read_parquet(output / "projection.parquet")
    assert table["set"].value_counts().to_dict() == {"sampled": 50, "hand_crafted": 50} and set(table["group"]) == {"soft", "loud"}
    assert (output / "projection.png").read_bytes()[:4] == b"\x89PNG"
    parts = [embeddings(data_root, *where) for where in ((FOLDER, "test"), (HANDS, ""))]
    chosen = [
        np.searchsorted(part[3], table["row"][table["set"] == name]) for part, name in zip(parts, ("sampled", "hand_crafted"), strict=True)
    ]
    heard = np.concatenate([part[1][rows] for part, rows in zip(parts, chosen, strict=True)])
    found = np.concatenate([part[0][rows] for part, rows in zip(parts, chosen, strict=True)])
    values, vectors = np.linalg.eigh(np.cov(heard.T))
    for column, axis in (("x", vectors[:, -1]), ("y", vectors[:, -2])):
        for name, rows in (("reference", heard), ("encoder", found)):
            along = (rows - heard.mean(0)) @ axis
            there = table[f"{name}_{column}"].to_numpy()
            assert min(np.abs(there - along).max(), np.abs(there + along).max()) < 1e-3
    assert table["reference_x"].var() == pytest.approx(values[-1], rel=1e-3)


def test_without_umap_it_is_principal_components_and_says_so(data_root, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    said = []
    _, output = evaluate(data_root, "no_umap", projection="umap", emit=lambda kind, values: said.append(values.get("message") or ""))
    assert json.loads((output / "scores.json").read_text())["projection"] == "pca" and any("not installed" in text for text in said)


def test_umap_is_asked_for_the_published_picture_once_and_presets_are_put_into_it(tmp_path, monkeypatch):
    """With a stand-in for the package, whose own compilation takes half a minute."""
    asked, fits = [], []

    class Reducer:
        def __init__(self, **settings):
            asked.append(settings)

        def fit_transform(self, rows):
            fits.append(rows)
            return rows[:, :2]

        def transform(self, rows):
            return rows[:, :2] + 100

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Reducer))
    rows = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    method, into = projection.fit(rows, Settings(), Context(tmp_path, tmp_path, emit=lambda *rest: None))
    wanted = {"n_neighbors": 75, "min_dist": 0.99, "metric": "euclidean", "init": "pca", "random_state": 42, "n_jobs": 1}
    assert method == "umap" and asked == [wanted] and len(fits) == 1
    assert np.array_equal(into(rows), rows[:, :2]) and np.array_equal(into(rows + 1), rows[:, :2] + 101) and len(fits) == 1
    projection.fit(rows[:20], Settings(), Context(tmp_path, tmp_path))
    assert asked[1]["n_neighbors"] == 19, "no more neighbours than there are"


def test_presets_that_were_tuned_on_are_not_scored(data_root):
    train(data_root, "tuned", epochs=1, sizes={"hidden": 32}, fields={"train": HANDS, "start_from": MODEL})
    with pytest.raises(InvalidValueError, match="training presets would be scored"):
        evaluate(data_root, "leak", fields={"model": "stages/train_preset_encoder/tuned"})
    fair, output = evaluate(data_root, "fair", fields={"model": "stages/train_preset_encoder/tuned"}, hand_crafted_split="test")
    assert json.loads((output / "scores.json").read_text())["hand_crafted"]["pool"] == 12 and fair.hand_crafted_mrr > 0


def test_sets_that_were_made_otherwise_and_rows_that_are_missing_are_refused(data_root):
    write(data_root, 50, "stages/render_presets/other", fade_s=0.5)
    with pytest.raises(InvalidValueError, match="knows other presets"):
        evaluate(data_root, "x", fields={"sampled": "stages/render_presets/other"})
    write(data_root, 50, "stages/render_presets/none", share=(0.5, 0.5))
    with pytest.raises(InvalidValueError, match="too few test rows"):
        evaluate(data_root, "y", fields={"sampled": "stages/render_presets/none"})
    with pytest.raises(InvalidValueError, match=r"evaluate_preset_encoder\.runs"):
        Settings(runs=0)
    with pytest.raises(InvalidValueError, match="missing"):
        Request("", FOLDER)
