import json

import numpy as np
import pandas as pd
import pytest
import torch

from core.context import Context
from core.errors import InvalidValueError
from tasks.train_vae import clips, training
from tasks.train_vae.clips import Rows
from tasks.train_vae.looking import encode_all
from tasks.train_vae.spec import METHODS, Request, Settings
from tasks.train_vae.stage import run
from tasks.training import loop
from tasks.training.loop import thinned
from tasks.vae_models.gaussians import active_units, kl_to_prior
from tasks.vae_models.network import VAEDeep, load, parameter_count
from tests.cut_off import cut_off_at_loss
from tests.tasks.train_vae.grids import FOLDER, features, train

CURVES = ("loss", "reconstruction", "kl", "effective_beta", "total_correlation", "active_units", "val_loss")


@pytest.fixture
def data_root(tmp_path):
    features(tmp_path)
    return tmp_path


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_codes_of_all_clips_curves_and_a_record(data_root, method):
    result, output = train(data_root, method, method)
    codes = np.load(output / "codes.npz", allow_pickle=False)
    array = np.load(data_root / FOLDER / "features.npy")
    model = load(output)
    mean, log_variance = model.encode(torch.from_numpy(array))
    assert codes["mean"].dtype == codes["log_variance"].dtype == np.float32 and codes["mean"].shape == (64, 3)
    assert codes["mean"] == pytest.approx(mean.numpy(), abs=1e-5) and codes["log_variance"] == pytest.approx(log_variance.numpy(), abs=1e-5)
    curves = json.loads((output / "curves.json").read_text())
    assert set(CURVES) <= set(curves) and all(len(curves[name]) == result.steps for name in CURVES[:4])
    epochs = 4 if method == "factor_vae" else 2
    assert [step for step, _ in curves["val_loss"]] == [result.steps * (number + 1) // epochs for number in range(epochs)]
    record = json.loads((output / "training.json").read_text())
    assert record["method"] == method and record["seed"] == 1 and record["settings"]["latent"] == 3
    assert record["features_digest"] == clips.digest(data_root / FOLDER) and len(record["kl_per_dimension"]) == 3
    table = pd.read_parquet(data_root / FOLDER / "factors.parquet")
    rows = torch.from_numpy(np.flatnonzero(table["split"] == "train"))
    by_code = kl_to_prior(mean[rows], log_variance[rows]).mean(0)
    assert record["kl_per_dimension"] == pytest.approx(by_code.tolist(), abs=1e-4)
    assert result.kl_nats == pytest.approx(float(by_code.sum()), abs=1e-4) and result.active_units == active_units(mean[rows])
    val = np.flatnonzero(table["split"] == "val")
    rebuilt = model.decode(mean[torch.from_numpy(val)]).numpy()
    assert result.val_reconstruction == pytest.approx(((rebuilt - array[val]) ** 2).sum() / len(val), rel=1e-4)
    assert result.parameters == parameter_count(model) and result.train_clips == len(rows) and not list(output.glob("checkpoint*"))


def test_it_learns_to_rebuild_and_the_codes_tell_the_factors(data_root):
    result, output = train(data_root, epochs=100, batch_clips=16, sigma=0.05, learning_rate=5e-3)
    array, table = np.load(data_root / FOLDER / "features.npy"), pd.read_parquet(data_root / FOLDER / "factors.parquet")
    held, val = (table["split"] != "train").to_numpy(), (table["split"] == "val").to_numpy()
    without_codes = ((array[val] - array[~held].mean(0)) ** 2).sum() / val.sum()
    assert not result.collapsed and result.active_units >= 1 and result.val_reconstruction < 0.5 * without_codes
    mean = np.load(output / "codes.npz")["mean"]
    nearest = ((mean[held][:, None] - mean[~held][None]) ** 2).sum(2).argmin(1)
    frequency = table["frequency"].to_numpy()
    assert np.corrcoef(frequency[held], frequency[~held][nearest])[0, 1] > 0.8


def test_weights_of_the_lowest_validation_loss_after_the_warm_up_are_kept(data_root):
    result, output = train(data_root, epochs=12, learning_rate=0.02, warm_up_share=0.5)
    curve = json.loads((output / "curves.json").read_text())["val_loss"]
    eligible = [point for point in curve if point[0] >= result.steps / 2]
    best = min(eligible, key=lambda point: point[1])
    assert [result.best_step, result.val_loss] == best and result.best_step < result.steps, "a rate that high does not end at its best"
    legacy, _ = train(data_root, "legacy", epochs=12, learning_rate=0.02, legacy=True)
    assert legacy.best_step == legacy.steps and "last epoch" in legacy.faults[0]


def test_training_is_plain_adam_on_the_loss(data_root):
    """The published loop written out: summed squared error + 4 · mean KL, torch's Adam, no clipping, every clip once an epoch."""
    _, output = train(data_root, method="beta_vae", legacy=True, batch_clips=12)
    table, array = pd.read_parquet(data_root / FOLDER / "factors.parquet"), np.load(data_root / FOLDER / "features.npy")
    clips_there = torch.from_numpy(array[(table["split"] == "train").to_numpy()])
    torch.manual_seed(1)
    model = VAEDeep(3, 16, 8)
    optimizer, step = torch.optim.Adam(model.parameters(), lr=1e-3, fused=False), 0
    for epoch in range(2):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(training.ORDER_STREAM + 1_000_003 + epoch))
        assert sorted(order.tolist()) == list(range(40))
        for rows in order.split(12):
            batch, (mean, log_variance) = clips_there[rows], model.encode(clips_there[rows])
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1_000_003 + 2 * step))
            rebuilt = model.decode(mean + noise * torch.exp(log_variance / 2))
            loss = ((rebuilt - batch) ** 2).sum() - 4 * 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    assert step == 8
    kept = load(output).state_dict()
    fresh = {name: float((part - kept[name]).abs().max()) for name, part in model.state_dict().items()}
    assert max(fresh.values()) < 2e-4, "eight steps of 1e-3 each"


def test_held_out_clips_have_no_say_in_the_weights(data_root):
    """Test clips in nothing; validation clips only in which epoch is kept."""
    _, one = train(data_root, "one", warm_up_share=1.0)
    array = np.load(data_root / FOLDER / "features.npy")
    table = pd.read_parquet(data_root / FOLDER / "factors.parquet")
    held = (table["split"] != "train").to_numpy()
    array[held] = array[held][::-1] * 0.5
    np.save(data_root / FOLDER / "features.npy", array)
    _, two = train(data_root, "two", warm_up_share=1.0)
    assert (one / "model.pt").read_bytes() == (two / "model.pt").read_bytes()
    assert json.loads((one / "curves.json").read_text())["val_loss"] != json.loads((two / "curves.json").read_text())["val_loss"]


@pytest.mark.parametrize(("method", "epochs"), [("factor_vae", 1), ("beta_tcvae", 2)])
def test_interrupted_and_resumed_equals_uninterrupted(data_root, monkeypatch, method, epochs):
    settings = {"epochs": epochs, "batch_clips": 8, "method": method}
    _, whole = train(data_root, "whole", **settings)
    with cut_off_at_loss(monkeypatch, training.Trainee):
        train(data_root, "part", **settings)
    saved = torch.load(data_root / "stages/train_vae/part/checkpoint.pt", weights_only=True)
    assert saved["step"] == 4 and saved["seed"] == 1 and saved["digest"] == clips.digest(data_root / FOLDER)
    said = []
    _, part = train(data_root, "part", emit=lambda kind, values: said.append(values.get("message")), **settings)
    assert "resumed at step 4" in said
    for name in ("model.pt", "codes.npz", "curves.json", "training.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name


def test_checkpoint_of_another_training_is_refused(data_root):
    output = data_root / "stages/train_vae/run"
    output.mkdir(parents=True)
    loop.save_checkpoint(
        output, {"step": 1, "method": "vae", "seed": 2, "digest": "other", "config": {"latent": 3, "mels": 16, "frames": 8}}
    )
    with pytest.raises(InvalidValueError, match="checkpoint of another training"):
        train(data_root)


def test_seed_decides_and_nothing_else(data_root):
    _, one = train(data_root, "one")
    _, again = train(data_root, "again")
    _, other = train(data_root, "other", seed=2)
    assert (one / "codes.npz").read_bytes() == (again / "codes.npz").read_bytes() != (other / "codes.npz").read_bytes()


def test_reading_from_disk_gives_what_reading_from_memory_gives(data_root, monkeypatch):
    _, memory = train(data_root, "memory")
    monkeypatch.setattr(clips, "IN_MEMORY_BYTES", 0)
    array = np.load(data_root / FOLDER / "features.npy", mmap_mode="r")
    assert Rows(array, np.arange(4), "cpu").copy is None
    _, disk = train(data_root, "disk")
    assert (memory / "codes.npz").read_bytes() == (disk / "codes.npz").read_bytes()


def test_collapse_is_found_logged_and_recorded(data_root):
    said = []
    emit = lambda kind, values: said.append(values.get("message") or "")  # noqa: E731
    result, output = train(data_root, emit=emit, epochs=25, batch_clips=16, method="beta_vae", sigma=20.0, warm_up_share=0.1)
    assert result.collapsed and result.kl_nats < 0.1 and any("collapse" in text for text in said)
    record = json.loads((output / "training.json").read_text())
    assert record["collapsed"] is True and 0 < record["alarm_step"] <= result.steps


def test_without_validation_clips_the_last_weights_are_kept(tmp_path):
    features(tmp_path, splits=("train", "train", "test"))
    result, output = train(tmp_path)
    assert result.best_step == result.steps and result.val_loss is None and result.val_reconstruction is None
    curves = json.loads((output / "curves.json").read_text())
    assert curves["val_loss"] == [] and len(curves["total_correlation"]) == 2


def test_effective_beta_of_a_legacy_training_is_beta_by_the_batch(data_root):
    result, _ = train(data_root, method="beta_vae", batch_clips=12, legacy=True)
    assert result.effective_beta == pytest.approx(4 / 12)
    result, _ = train(data_root, "corrected", method="beta_vae", sigma=0.1)
    assert result.effective_beta == pytest.approx(0.08)


def test_codes_do_not_hang_on_the_rows_around_them(data_root):
    _, output = train(data_root)
    array, model = np.load(data_root / FOLDER / "features.npy"), load(output)
    whole, part = encode_all(model, array, "cpu")[0], encode_all(model, array[10:13], "cpu")[0]
    assert torch.allclose(whole[10:13], part, atol=1e-5)


def test_curves_are_thinned_by_means():
    assert thinned([1.0, 2.0, 3.0]) == [[1, 1.0], [2, 2.0], [3, 3.0]]
    long = thinned([float(i) for i in range(1001)])
    assert len(long) <= 400 and long[0] == [3, 1.0] and long[-1] == [1001, 999.5] and [step for step, _ in long[:2]] == [3, 6]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"learn_sigma": True, "legacy": True}, "learn_sigma"),
        ({"latent": 0}, "latent"),
        ({"sigma": 0.0}, "sigma"),
        ({"beta": -1.0}, "beta"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, named):
    with pytest.raises(InvalidValueError, match=f"train_vae.{named}"):
        Settings(**settings)


def test_requests_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="β = 1"):
        Request("x", "vae", 0, Settings(beta=2.0))
    features(tmp_path, splits=("val", "test"))
    with pytest.raises(InvalidValueError, match="too few clips"):
        train(tmp_path)
    with pytest.raises(InvalidValueError):
        run(Request("stages/featurise/none", "vae", 0), Context(tmp_path, tmp_path))
