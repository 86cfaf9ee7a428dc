import json

import numpy as np
import pandas as pd
import pytest
import torch

from core.errors import InvalidValueError
from tasks.preset_encoders import examples, fitting, recipes
from tasks.preset_encoders.encoder import load, parameter_count
from tasks.preset_encoders.examples import Examples, open_splits
from tasks.preset_encoders.inference import embed
from tasks.preset_encoders.protocols import rank_validation, rankings
from tasks.preset_encoders.schedules import Plateau, flat_then_cosine, warmed, wcrc
from tasks.preset_encoders.settings import MODELS
from tasks.presets.reading import open_presets
from tasks.train_preset_encoder.spec import Request, Settings
from tasks.training import loop
from tests.tasks.train_preset_encoder.sets import FOLDER, SMALL, embeddings_of, train, write

SIZES = {
    "hn_oh": {"hidden": 12, "blocks": 2}, "hn_pt": {"hidden": 12, "blocks": 2, "token": 4}, "bigru_oh": {"hidden": 6},
    "hn_ptgru": {"hidden": 12, "blocks": 2, "token": 8}, "tfm": {"token": 8, "blocks": 2, "heads": 2}, "resnet_oh": {"hidden": 12},
}  # fmt: skip


@pytest.fixture
def data_root(tmp_path):
    write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", MODELS)
def test_every_encoder_trains_and_its_record_is_that_of_the_written_weights(data_root, model):
    result, output = train(data_root, model, model, **({"sizes": SIZES[model]} if model in SIZES else {}))
    encoder, spec, config = load(output)
    presets = open_presets(data_root / FOLDER)
    val = presets.rows("val")
    found, heard = embed(encoder, presets.parameters[val]), presets.embeddings[val]
    assert spec.digest == SMALL.digest and config["trained_on"] == [examples.digest(data_root / FOLDER)]
    assert result.val_l1 == pytest.approx(np.abs(found - heard).astype(np.float64).mean(), rel=1e-4)
    apart = np.abs(found - heard) / encoder.spread.numpy()
    assert result.val_loss == pytest.approx(apart.mean(), rel=1e-4)
    normal = [encoder.normalised(torch.from_numpy(np.array(part))) for part in (found, heard)]
    ranked = rank_validation(*normal, rankings(80, 16, 8, 0), "l1").reciprocal().mean()
    assert result.val_mrr == pytest.approx(float(ranked), abs=0.02) and result.parameters == parameter_count(encoder)
    counts = (result.rankings, result.candidates, result.train_presets, result.val_presets, result.steps)
    assert counts == (16, 8, 240, 80, 21)
    curves = json.loads((output / "curves.json").read_text())
    looks = [7, 14, 21] if model == "tfm_modules" else [4, 7, 11, 14, 18, 21]
    assert [step for step, _ in curves["val_mrr"]] == looks and len(curves["loss"]) == len(curves["learning_rate"]) == 21
    record = json.loads((output / "training.json").read_text())
    assert record["model"] == model and record["plan"]["epochs"] == 3 and record["audio_model"] == "toy" and record["synth"] == "small"
    assert not list(output.glob("checkpoint*")) and record["chance_mrr"] == pytest.approx(sum(1 / k for k in range(1, 9)) / 8)


def test_it_learns_the_embeddings_far_better_than_chance(data_root):
    result, output = train(data_root, epochs=60, sizes={"hidden": 64}, learning_rate=5e-3)
    presets = open_presets(data_root / FOLDER)
    test = presets.rows("test")
    found = embed(load(output)[0], presets.parameters[test])
    spread = np.asarray(presets.embeddings[test]).std(0)
    constant = (np.abs(presets.embeddings[test] - np.median(presets.embeddings[presets.rows("train")], 0)) / spread).mean()
    assert (np.abs(found - presets.embeddings[test]) / spread).mean() < 0.5 * constant
    assert result.val_mrr > 2 * result.chance_mrr and result.val_mrr > 0.8


def test_training_is_adamw_on_the_mean_absolute_error(data_root):
    """The loop written out with torch's own AdamW, in the published setting of raw embeddings."""
    _, output = train(data_root, normalise=False, select="last", epochs=2, schedule="cosine", eps=1e-7, betas=(0.8, 0.9), weight_decay=0.1)
    presets = open_presets(data_root / FOLDER)
    rows = presets.rows("train")
    torch.manual_seed(1)
    from tasks.preset_encoders.encoder import build

    model = build("mlp_oh", presets.layout, 6, hidden=16)
    optimizer, step = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.8, 0.9), eps=1e-7, weight_decay=0.1), 0
    for epoch in range(2):
        order = torch.randperm(240, generator=torch.Generator().manual_seed(fitting.ORDER_STREAM + 1_000_003 + epoch))
        for places in order[: 7 * 32].split(32):
            optimizer.param_groups[0]["lr"] = 1e-5 + (3e-3 - 1e-5) * 0.5 * (1 + np.cos(np.pi * step / 14))
            here = rows[places.numpy()]
            loss = (model(torch.from_numpy(presets.parameters[here])) - torch.from_numpy(presets.embeddings[here])).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    kept = load(output)[0].state_dict()
    assert max(float((part - kept[name]).abs().max()) for name, part in model.state_dict().items()) < 2e-4


def test_kept_weights_are_last_every_kth_and_the_best_of_both_kinds(data_root):
    result, output = train(data_root, epochs=6, learning_rate=0.1, keep_epochs=2)
    assert sorted(path.stem for path in (output / "weights").iterdir()) == [
        "best_loss", "best_mrr", "epoch_0002", "epoch_0004", "epoch_0006", "last"
    ]  # fmt: skip
    curves = json.loads((output / "curves.json").read_text())
    step, best = max(curves["val_mrr"], key=lambda point: point[1])
    assert result.val_mrr == best and result.best_step == step and load(output)[2]["step"] == step
    assert (output / "model.pt").read_bytes() == (output / "weights/best_mrr.pt").read_bytes()
    step, best = min(curves["val_loss"], key=lambda point: point[1])
    by_loss, other = train(data_root, "loss", epochs=6, learning_rate=0.1, select="loss")
    assert (by_loss.best_step, by_loss.val_loss) == (step, best) and load(other / "weights/best_loss.pt")[2]["step"] == step
    last, _ = train(data_root, "last", epochs=6, learning_rate=0.1, select="last")
    assert last.best_step == last.steps == 42 and [last.steps, last.val_mrr] == curves["val_mrr"][-1]
    assert (output / "weights/last.pt").read_bytes() == (output / "weights/epoch_0006.pt").read_bytes()


@pytest.mark.parametrize(
    ("model", "changed"), [("mlp_oh", {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.2}), ("tfm", {})]
)
def test_interrupted_and_resumed_equals_uninterrupted(data_root, monkeypatch, model, changed):
    settings = {"model": model, "keep_epochs": 1, "sizes": {"hidden": 16}, **changed}
    if model == "tfm":
        settings["sizes"] = {**SIZES["tfm"], "dropout": 0.1}
    _, whole = train(data_root, "whole", **settings)
    real, calls = fitting.Trainee._loss, []

    def killed(self, generator):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return real(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(fitting.Trainee, "_loss", killed)
        patched.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            train(data_root, "part", **settings)
    saved = torch.load(data_root / "stages/train_preset_encoder/part/checkpoint.pt", weights_only=True)
    assert saved["step"] == 12 and saved["seed"] == 1
    said = []
    _, part = train(data_root, "part", emit=lambda kind, values: said.append(values.get("message")), **settings)
    assert "resumed at step 12" in said
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(part) for path in part.rglob("*") if path.is_file()) and len(names) == 9
    for name in names:
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name


def test_checkpoint_of_another_training_is_refused(data_root, monkeypatch):
    def killed(self, generator):
        if len(self.loop.losses) == 3:
            raise KeyboardInterrupt
        return real(self, generator)

    real = fitting.Trainee._loss
    with monkeypatch.context() as patched:
        patched.setattr(fitting.Trainee, "_loss", killed)
        patched.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            train(data_root)
    with pytest.raises(InvalidValueError, match="checkpoint of another training"):
        train(data_root, learning_rate=0.01)


def test_seed_decides_and_nothing_else(data_root):
    models = [(train(data_root, name, seed=seed)[1] / "weights/last.pt").read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert models[0] == models[1] != models[2]


def test_only_train_rows_are_trained_on_and_test_rows_are_not_looked_at(data_root):
    _, one = train(data_root, "one")
    folder = data_root / FOLDER
    embeddings, split = np.load(folder / "embeddings.npy"), pd.read_parquet(folder / "table.parquet")["split"].to_numpy()
    embeddings[split == "test"] *= -1
    np.save(folder / "embeddings.npy", embeddings)
    _, two = train(data_root, "two")
    assert states_equal(one / "model.pt", two / "model.pt")
    assert json.loads((one / "curves.json").read_text()) == json.loads((two / "curves.json").read_text())
    embeddings[split == "val"] *= -1
    np.save(folder / "embeddings.npy", embeddings)
    _, three = train(data_root, "three")
    assert states_equal(one / "weights/last.pt", three / "weights/last.pt"), "validation rows decide on what is kept, not on weights"
    assert json.loads((one / "curves.json").read_text())["val_loss"] != json.loads((three / "curves.json").read_text())["val_loss"]


def states_equal(one, two):
    first, second = (torch.load(path, weights_only=True)["state"] for path in (one, two))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_statistics_are_of_train_rows_in_blocks(data_root, monkeypatch):
    monkeypatch.setattr(examples, "BLOCK", 7)
    presets = open_presets(data_root / FOLDER)
    rows = presets.rows("train")
    middle, spread = Examples(presets, rows, "cpu").statistics()
    assert middle.numpy() == pytest.approx(presets.embeddings[rows].mean(0, dtype=np.float64), rel=1e-5)
    assert spread.numpy() == pytest.approx(presets.embeddings[rows].std(0, dtype=np.float64), rel=1e-4)
    _, output = train(data_root)
    assert torch.equal(load(output)[0].middle, middle) and torch.equal(load(output)[0].spread, spread)
    flat = write(data_root, folder="stages/render_presets/flat", embed=lambda *a: np.c_[embeddings_of(*a)[:, :5], np.full(400, 3.0)])[1]
    assert flat.shape == (400, 6)
    assert float(Examples(open_presets(data_root / "stages/render_presets/flat"), rows, "cpu").statistics()[1][5]) == 1.0


def test_reading_from_disk_gives_what_reading_from_memory_gives(data_root, monkeypatch):
    _, memory = train(data_root, "memory")
    monkeypatch.setattr(examples, "IN_MEMORY_BYTES", 0)
    assert open_splits(data_root / FOLDER, data_root / FOLDER, "cpu").train.kept is None
    _, disk = train(data_root, "disk")
    assert (memory / "model.pt").read_bytes() == (disk / "model.pt").read_bytes()


def test_validation_presets_of_another_set_must_be_made_alike(data_root):
    other = "stages/render_presets/bb"
    write(data_root, 100, other, seed=9, share=(0.0, 1.0))
    result, _ = train(data_root, fields={"val": other})
    assert result.val_presets == 100 and result.train_presets == 240
    write(data_root, 100, other, seed=9, share=(0.0, 1.0), audio_model="another")
    with pytest.raises(InvalidValueError, match="made differently"):
        train(data_root, "x", fields={"val": other})
    write(data_root, 100, other, share=(1.0, 0.0))
    with pytest.raises(InvalidValueError, match="too few val rows"):
        train(data_root, "y", fields={"val": other})
    write(data_root, 100, other, share=(0.5, 0.5), embed=lambda *a: embeddings_of(*a) * np.nan)
    with pytest.raises(InvalidValueError, match="not finite"):
        train(data_root, "z", fields={"val": other})


def test_fine_tuning_goes_on_from_trained_weights_and_keeps_their_normalisation(data_root):
    first, start = train(data_root, "start", epochs=20)
    other = "stages/render_presets/cc"
    write(data_root, 200, other, seed=7, origin="hand_crafted")
    where = {"start_from": "stages/train_preset_encoder/start", "train": other}
    request = lambda **more: Request(model="mlp_oh", seed=3, **where, settings=Settings(sizes={"hidden": 16}, batch_presets=32, **more))  # noqa: E731
    from core.context import Context
    from tasks.train_preset_encoder import stage

    output = data_root / "stages/train_preset_encoder/tuned"
    output.mkdir()
    stage.run(request(epochs=1, learning_rate=1e-9, warm_up_share=0.5), Context(output, data_root, emit=lambda *a: None))
    before, after = load(start)[0].state_dict(), load(output)[0].state_dict()
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before if "running" not in name and "num_b" not in name)
    assert torch.equal(before["middle"], after["middle"])
    assert load(output)[2]["trained_on"] == [examples.digest(data_root / FOLDER), examples.digest(data_root / other)]
    with pytest.raises(InvalidValueError, match="another kind"):
        train(data_root, "w", fields={"start_from": "stages/train_preset_encoder/start"}, sizes={"hidden": 8})
    assert first.steps == 140


def test_mean_squared_error_goes_with_euclidean_rankings(data_root):
    result, output = train(data_root, loss="mse")
    presets = open_presets(data_root / FOLDER)
    val = presets.rows("val")
    encoder = load(output)[0]
    pair = [encoder.normalised(torch.from_numpy(np.array(x))) for x in (embed(encoder, presets.parameters[val]), presets.embeddings[val])]
    assert result.val_loss == pytest.approx(float((pair[0] - pair[1]).square().mean()), rel=1e-4)
    assert result.val_mrr == pytest.approx(float(rank_validation(*pair, rankings(80, 16, 8, 0), "l2").reciprocal().mean()), abs=1e-6)


def test_wcrc_is_the_published_schedule():
    rate = wcrc(1e-3, 2e-6, 7_500, 200_000, 600_000)
    assert rate(0) == rate(7_499) == 1e-3 and rate(200_000) == 1e-3
    assert rate(103_750) == pytest.approx((1e-3 + 2e-6) / 2) and rate(199_999) == pytest.approx(2e-6, rel=1e-3)
    assert rate(400_000) == pytest.approx((1e-3 + 2e-6) / 2) and rate(600_000) == rate(900_000) == pytest.approx(2e-6)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-3)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=2e-6)
    ours = flat_then_cosine(1e-3, 2e-6, 50, 0)
    for step in range(50):
        assert ours(step) == pytest.approx(peer.get_last_lr()[0])
        optimizer.step()
        peer.step()
    warm = warmed(lambda step: 1.0, 4)
    assert [warm(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    plan = recipes.plan("tfm", "paper", "dexed", 10_240_000)
    assert plan.steps == 1_200_000 and plan.batch == 256 and plan.betas == (0.91, 0.987) and plan.eps == 2e-8 and plan.keep_epochs == 5
    assert recipes.plan("mlp_oh", "paper", "diva", 10_240_000).steps == 600_000
    rates, _ = recipes.plan("mlp_oh", "paper", "dexed", 10_240_000).rates()
    assert rates(7_499) == rates(200_000) == 1.2e-2 and rates(199_999) < 3e-6 and rates(7_600) < 1.2e-2


def test_plateau_equals_torchs():
    losses = [1.0, 0.9, 0.95, 0.9, 0.91, 0.90001, 0.8, 0.85, 0.85, 0.85, 0.85, 0.85, 0.85, 0.85, 0.85]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    ours = Plateau(0.1, 0.1, 2)
    for number, value in enumerate(losses, 1):
        peer.step(value)
        ours.look(value, number * 10)
        assert ours(number * 10) == pytest.approx(optimizer.param_groups[0]["lr"]), number
    assert len(ours.falls) >= 2 and ours(0) == 0.1


def test_looks_are_spread_evenly_over_an_epoch():
    plan = recipes.plan("mlp_oh", "cpu", "x", 1000, batch_presets=100, looks_per_epoch=4)
    assert [done for done in range(1, 21) if plan.looks_at(done)] == [3, 5, 8, 10, 13, 15, 18, 20]
    few = recipes.plan("mlp_oh", "cpu", "x", 150, batch_presets=100, looks_per_epoch=4)
    assert few.epoch_steps == 1 and few.looks_at(1) and recipes.plan("mlp_oh", "cpu", "x", 30, batch_presets=100).batch == 30


@pytest.mark.parametrize(
    ("settings", "named"), [({"epochs": 0}, "epochs"), ({"betas": (0.9, 1.0)}, "betas"), ({"candidates": 1}, "candidates")]
)
def test_settings_that_do_not_fit_are_refused(settings, named):
    with pytest.raises(InvalidValueError, match=f"train_preset_encoder.{named}"):
        Settings(**settings)


def test_requests_that_do_not_fit_are_refused(data_root):
    with pytest.raises(InvalidValueError, match="nothing to train on"):
        Request("", "tfm", 0)
    with pytest.raises(InvalidValueError, match="no such size"):
        train(data_root, sizes={"token": 4})
    with pytest.raises(InvalidValueError, match="no preset set"):
        train(data_root, "q", fields={"val": "stages/render_presets/none"})
    write(data_root, audio_model="")
    (data_root / FOLDER / "embeddings.npy").unlink()
    with pytest.raises(InvalidValueError, match="no embeddings"):
        train(data_root, "r")


def test_what_a_search_found_stands_where_the_settings_leave_something_open(data_root):
    best = {"model": "mlp_oh", "preset": "cpu", "sizes": {"hidden": 24, "blocks": 2}, "learning_rate": 2e-3, "least_rate": 1e-5,
            "betas": [0.8, 0.95], "eps": 1e-7, "flat_share": 0.5, "schedule": "cosine"}  # fmt: skip
    folder = data_root / "stages/search_preset_encoder/aa"
    folder.mkdir(parents=True)
    (folder / "best.json").write_text(json.dumps(best))
    fields = {"search": "stages/search_preset_encoder/aa"}
    _, output = train(data_root, "found", fields=fields, sizes={"blocks": 1}, eps=1e-6)
    plan = json.loads((output / "training.json").read_text())["plan"]
    assert plan["sizes"]["hidden"] == 24 and plan["sizes"]["blocks"] == 1, "the request's own sizes come first"
    assert (plan["learning_rate"], plan["betas"], plan["eps"], plan["flat_share"]) == (2e-3, [0.8, 0.95], 1e-6, 0.5)
    typing = {"learning_rate": 2e-3, "least_rate": 1e-5, "betas": (0.8, 0.95), "eps": 1e-6, "flat_share": 0.5, "schedule": "cosine"}
    _, typed = train(data_root, "typed", sizes={"hidden": 24, "blocks": 1}, **typing)
    first, second = (torch.load(path / "model.pt", weights_only=True)["state"] for path in (output, typed))
    assert all(torch.equal(first[name], second[name]) for name in first), "the same training as with the settings typed in"
    with pytest.raises(InvalidValueError, match="something else"):
        train(data_root, "other", model="hn_oh", fields=fields)
