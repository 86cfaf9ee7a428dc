import json

import numpy as np
import pandas as pd
import pytest
import torch

from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.classify_waveform import stage
from tasks.classify_waveform.network import WaveformClassifier
from tasks.classify_waveform.spec import Request, Settings
from tests.tasks.featurise.grids import write_grid

FEATURES = "stages/featurise/aa"


def write_features(root, grid, changed=None):
    """The contract's files, with a split by amplitude; the pictures are not looked at."""
    folder = root / FEATURES
    folder.mkdir(parents=True)
    description = json.loads((root / grid / "grid.json").read_text())
    table = pd.read_parquet(root / grid / "factors.parquet")
    amps = sorted(set(table["amplitude"]))
    table["split"] = [{amps[0]: "val", amps[-1]: "test"}.get(amp, "train") for amp in table["amplitude"]]
    if changed:
        changed(table)
    table.to_parquet(folder / "factors.parquet", index=False)
    np.save(folder / "features.npy", np.zeros((len(table), 1, 8, 8), np.float32))
    told = {
        "sample_rate_hz": 16000, "n_fft": 2048, "hop": 512, "mels": 8, "frames": 8, "samples": description["samples"], "power": 2.0,
        "normalisation": "log_db", "offset": -80.0, "scale": 80.0, "reference_power": 1.0, "flagged": [], "factors": description["factors"],
    }  # fmt: skip
    (folder / "features.json").write_text(json.dumps(told))


@pytest.fixture
def root(tmp_path):
    grid, _ = write_grid(tmp_path, freqs=(300.0, 450.0, 800.0), amps=(0.4, 0.5, 0.6, 0.8, 1.0), samples=1600)
    write_features(tmp_path, grid)
    return tmp_path


def made(root, name="aa", seed=1, metrics=None, **settings):
    output = root / "stages/classify_waveform" / name
    output.mkdir(parents=True, exist_ok=True)
    context = Context(output, root, emit=lambda kind, values: metrics.append((kind, values)) if metrics is not None else None)
    settings = build(Settings, {"steps": 60, "evaluate_every": 15, "batch_clips": 16, "window_s": 0.05, "learning_rate": 2e-3, **settings})
    return stage.run(Request("stages/synthesize_grid/aa", FEATURES, seed, settings), context), output


def test_network_is_the_published_one():
    model = WaveformClassifier(16000, 4)
    shapes = {name: tuple(part.shape) for name, part in model.named_parameters()}
    assert shapes["conv1.weight"] == (16, 1, 5) and shapes["conv2.weight"] == (32, 16, 3)
    assert shapes["fc1.weight"] == (64, 32 * 4000) and shapes["fc2.weight"] == (4, 64)
    assert WaveformClassifier(1603, 3)(torch.zeros(2, 1, 1603)).shape == (2, 3)


def test_it_learns_to_tell_four_waveforms_apart(root):
    result, output = made(root)
    assert result.test_accuracy > 0.7 and result.val_accuracy > 0.7, "four classes, so chance is one quarter"
    scores = json.loads((output / "scores.json").read_text())
    test = scores["test"]
    assert test["clips"] == 12 and np.sum(test["confusion"]) == 12 and scores["classes"] == ["sine", "triangle", "sawtooth", "square"]
    assert result.test_accuracy == np.trace(test["confusion"]) / 12
    expected = {name: test["confusion"][i][i] / 3 for i, name in enumerate(scores["classes"])}
    assert result.test_accuracy_by_waveform == pytest.approx(expected)
    assert sorted(item.name for item in output.iterdir()) == ["curves.json", "model.pt", "scores.json"]
    curves = json.loads((output / "curves.json").read_text())
    assert len(curves["loss"]) == 60 and [point["step"] for point in curves["val"]] == [15, 30, 45, 60]
    best = max(curves["val"], key=lambda point: (point["val_accuracy"], -point["val_loss"]))
    assert result.best_step == best["step"] and result.val_accuracy == best["val_accuracy"]
    saved = torch.load(output / "model.pt", weights_only=True)
    model = WaveformClassifier(saved["config"]["samples"], 4)
    model.load_state_dict(saved["state"])
    assert sum(part.numel() for part in model.parameters()) == result.parameters


class Interrupted(Exception):
    pass


def test_resumed_run_equals_an_uninterrupted_one(root, monkeypatch):
    whole, whole_output = made(root, "whole", steps=60)
    monkeypatch.setattr("tasks.training.loop.CHECKPOINT_EVERY_S", -1.0)

    def stop_at_40(context, state):
        real(context, state)
        if state["kept"]["step"] == 40:
            raise Interrupted

    real = stage.save_checkpoint
    monkeypatch.setattr(stage, "save_checkpoint", stop_at_40)
    with pytest.raises(Interrupted):
        made(root, "cut", steps=60)
    monkeypatch.setattr(stage, "save_checkpoint", real)
    events = []
    resumed, cut_output = made(root, "cut", metrics=events, steps=60)
    assert ("log", {"message": "resumed at step 40"}) in events and resumed == whole
    assert (cut_output / "curves.json").read_text() == (whole_output / "curves.json").read_text()
    assert (made(root, "other", seed=2, steps=30)[1] / "curves.json").read_text() != (
        made(root, "same", steps=30)[1] / "curves.json"
    ).read_text()


def test_features_of_another_grid_and_empty_splits_are_refused(tmp_path):
    grid, _ = write_grid(tmp_path, samples=1600)

    def reorder(table):
        table["waveform"] = table["waveform"].to_numpy()[::-1]

    write_features(tmp_path, grid, reorder)
    with pytest.raises(InvalidValueError, match="another grid's"):
        made(tmp_path)
    write_grid(tmp_path, "stages/synthesize_grid/bb", samples=1600, waveforms=("sine",))
    output = tmp_path / "x"
    output.mkdir()
    with pytest.raises(InvalidValueError, match="another grid's"):
        stage.run(Request("stages/synthesize_grid/bb", FEATURES), Context(output, tmp_path))


def test_a_split_without_clips_is_refused(tmp_path):
    grid, _ = write_grid(tmp_path, samples=1600)

    def all_train(table):
        table["split"] = "train"

    write_features(tmp_path, grid, all_train)
    with pytest.raises(InvalidValueError, match=r"no clips.*val_fraction"):
        made(tmp_path)
