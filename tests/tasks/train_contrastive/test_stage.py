import json

import numpy as np
import pytest
import soundfile
import torch

from core.errors import InvalidValueError
from tasks.contrastive import losses
from tasks.contrastive.encoder import Encoder, load
from tasks.train_contrastive import recipe, training
from tasks.train_contrastive.recipe import plan
from tasks.train_contrastive.sources import Synthesised
from tasks.train_contrastive.spec import Request, Settings
from tasks.training.loop import thinned
from tests.cut_off import cut_off_at_loss
from tests.tasks.train_contrastive.runs import SMALL, context_for, recordings, train


def test_published_sizes_rates_and_falls():
    paper = plan(Settings(preset="paper"))
    assert (paper.epochs, paper.epoch_steps, paper.look_batches, paper.batch_pairs, paper.width) == (200, 117, 14, 768, 64)
    assert (
        paper.rate == pytest.approx(0.36)
        and paper.momentum == 0
        and paper.weight_decay == 1e-6
        and paper.falls == (155 * 117, 170 * 117, 185 * 117)
    )
    epochs = {epoch: paper.rate_at(epoch * 117) / paper.rate for epoch in (0, 154, 155, 169, 170, 184, 185, 199)}
    assert list(epochs.values()) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert plan(Settings(preset="paper", batch_pairs=128)).rate == pytest.approx(0.06), "a true division: the published one gives 0"
    adam = plan(Settings(preset="paper", optimizer="adam"))
    assert adam.rate == 1e-3 and adam.weight_decay == 1e-4
    assert plan(Settings(epochs=1)).rate_at(0) == 1e-3, "a short training falls late too"
    small = plan(Settings())
    assert small.optimizer == "adam" and small.steps == 1800 and small.width == 32


def test_optimisers_add_the_decay_to_the_gradient():
    for name, kind in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
        made = recipe.optimizer(plan(Settings(optimizer=name, momentum=0.5, weight_decay=0.01)), [torch.nn.Parameter(torch.ones(1))])
        assert type(made) is kind and made.defaults["weight_decay"] == 0.01 and made.defaults.get("momentum", 0.5) == 0.5


def test_one_training_writes_encoder_curves_pairs_and_a_record(tmp_path):
    result, output = train(tmp_path, sample_pairs=2, keep_epochs=1)
    assert result.steps == 6 and result.pairs == 36 and result.clips == 0 and 0 < result.saturation < 1
    curves = json.loads((output / "curves.json").read_text())
    assert all(len(curves[name]) == 6 for name in ("loss", "align", "uniform", "saturation"))
    assert [step for step, _ in curves["val_uniform"]] == [3, 6] and curves["val_align"][-1][1] == result.align
    assert curves["loss"][0][1] == pytest.approx(curves["align"][0][1] + curves["uniform"][0][1], abs=1e-5)
    encoder = load(output)
    assert encoder.weights() == result.weights and encoder.config["dimensions"] == 16
    assert all(
        torch.equal(one, other)
        for one, other in zip(load(output / "epochs/0002").state_dict().values(), encoder.state_dict().values(), strict=True)
    )
    assert not torch.equal(load(output / "epochs/0001").network.fc.weight, encoder.network.fc.weight)
    source = Synthesised(Settings(), 1, "cpu")
    views = source.views(source.held_out(0, 6)[:2])
    for number in range(2):
        for name, part in (("first", views.first), ("second", views.second)):
            samples, rate = soundfile.read(output / f"pairs/{number:02d}-{name}.flac")
            assert rate == 16000 and np.allclose(samples, part[number], atol=1e-6)
    about = json.loads((output / "pairs/pairs.json").read_text())
    assert (
        np.allclose(about[1]["second"], views.parameters["second"][1], atol=1e-6) and (output / "pairs.png").read_bytes()[:4] == b"\x89PNG"
    )
    record = json.loads((output / "training.json").read_text())
    assert (
        record["seed"] == 1
        and record["data_digest"] == source.digest
        and record["plan"]["rate"] == 1e-3
        and not (output / "checkpoint.pt").exists()
    )


def test_training_is_plain_adam_on_alignment_and_uniformity_of_the_stream(tmp_path):
    """The loop written out: two batches normalised on their own, the loss of all pairs, torch's Adam."""
    _, output = train(tmp_path)
    torch.manual_seed(1)
    encoder = Encoder(dimensions=16, width=4).train()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3, weight_decay=1e-4)
    source = Synthesised(Settings(), 1, "cpu")
    for step in range(6):
        views = source.views(source.keys(step, 6))
        first, second = encoder(views.first), encoder(views.second)
        optimizer.param_groups[0]["lr"] = 1e-3 if step < 5 else 1e-5  # milestones after 4.65, 5.1 and 5.55 steps
        optimizer.zero_grad()
        sum(losses.align_and_uniform(first, second)).backward()
        optimizer.step()
    kept = load(output).network.state_dict()
    assert max(float((part - kept[name]).abs().max()) for name, part in encoder.network.state_dict().items()) < 2e-4


def test_the_layer_that_embeds_afterwards_changes_nothing_in_the_training(tmp_path):
    plain, cut = load(train(tmp_path / "plain")[1]), load(train(tmp_path / "cut", embedding="layer2")[1])
    assert cut.dimensions == 8 and plain.dimensions == 16
    assert all(torch.equal(one, other) for one, other in zip(plain.state_dict().values(), cut.state_dict().values(), strict=True))


def test_it_learns_to_tell_synthesised_sounds_apart(tmp_path):
    result, output = train(tmp_path, epochs=10, width=8, dimensions=32, batch_pairs=24, pairs_per_epoch=120, delta=0.1)
    curve = [value for _, value in json.loads((output / "curves.json").read_text())["loss"]]
    assert np.mean(curve[-5:]) < np.mean(curve[:5]) - 0.5
    assert not result.collapsed and result.uniform < -1 and result.spread > 0.2


@pytest.mark.parametrize(
    "options", [{"loss": "nt_xent"}, {"loss": "vicreg", "projection": 8}, {"loss": "barlow"}, {"optimizer": "sgd", "momentum": 0.9}]
)
def test_other_losses_and_optimisers_train_too(tmp_path, options):
    result, output = train(tmp_path, epochs=1, **options)
    assert np.isfinite(result.loss) and result.steps == 3
    assert not [name for name in torch.load(output / "model.pt", weights_only=True)["state"] if "head" in name], "no projection is kept"


def test_sounds_of_one_label_come_to_lie_together(tmp_path):
    recordings(tmp_path, lengths=(1.2,) * 24, labels=("low", "middle", "high"))  # 24 tones; every third one has the same label
    result, output = train(
        tmp_path,
        clips="stages/stratify/aa",
        positives="label",
        loss="nt_xent",
        temperature=0.2,
        transform="recording",
        epochs=30,
        width=8,
        dimensions=32,
    )
    curve = [value for _, value in json.loads((output / "curves.json").read_text())["loss"]]
    assert np.mean(curve[-5:]) < np.mean(curve[:5]) - 0.2 and result.clips == 18 and not result.collapsed


@pytest.mark.parametrize("transform", ["audiomentations", "masking", "specaugment", "recording"])
def test_transforms_change_what_is_seen(tmp_path, transform):
    plain, altered = (train(tmp_path, name, epochs=1, transform=name)[0] for name in ("none", transform))
    assert altered.loss != plain.loss and np.isfinite(altered.loss)


def test_collapse_raises_the_alarm(tmp_path):
    said = []
    result, output = train(
        tmp_path, emit=lambda kind, values: said.append(values.get("message", "")), uniform_weight=0.0, learning_rate=0.05, epochs=4
    )
    assert result.collapsed and any("collapse" in line for line in said)
    assert json.loads((output / "training.json").read_text())["alarm_step"] in range(1, result.steps + 1)


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    options = {"optimizer": "sgd", "momentum": 0.9, "transform": "specaugment"}
    _, whole = train(tmp_path, "whole", **options)
    with cut_off_at_loss(monkeypatch, training.Trainee):
        train(tmp_path, "part", **options)
    saved = torch.load(tmp_path / "stages/train_contrastive/part/checkpoint.pt", weights_only=True)
    assert saved["step"] == 4 and saved["seed"] == 1 and saved["settings"]["transform"] == "specaugment"
    with pytest.raises(InvalidValueError, match="another training"):
        train(tmp_path, "part", **{**options, "delta": 0.3})
    said = []
    _, part = train(tmp_path, "part", emit=lambda kind, values: said.append(values.get("message")), **options)
    assert "resumed at step 4" in said
    for name in ("model.pt", "curves.json", "training.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name


def test_real_clips_train_and_are_remembered(tmp_path):
    rows = recordings(tmp_path)
    result, output = train(tmp_path, clips="stages/stratify/aa", temporal_jitter=True, layers=2, epochs=1, train_fraction=0.75)
    heard = set(json.loads((output / "training.json").read_text())["heard"])
    assert result.clips == 4 and result.saturation is None and np.isfinite(result.loss)
    assert heard == {row["clip_id"] for row in rows} | {f"gold{number}" for number in range(5)}


def test_settings_that_do_not_fit_are_refused():
    for wrong in (
        {"sample_rate_hz": 8000},
        {"batch_pairs": 1},
        {"delta": 1.5},
        {"impulse_responses": "rooms"},
        {"momentum": 1.0},
        {"layers": 0},
    ):
        with pytest.raises(InvalidValueError, match=next(iter(wrong))):
            Settings(**wrong)
    with pytest.raises(InvalidValueError, match="one source"):
        Request(clips="a", folder="b")
    with pytest.raises(InvalidValueError, match="real sounds only"):
        Request(settings=Settings(temporal_jitter=True))
    assert Settings(**SMALL).width == 4


def test_long_curves_are_thinned():
    assert thinned([1.0, 3.0]) == [[1, 1.0], [2, 3.0]]
    found = thinned([float(number) for number in range(1000)])
    assert len(found) <= 400 and found[0] == [3, 1.0] and found[-1][0] == 1000


def test_sounds_of_a_look_are_no_training_sounds_and_change_no_weight(tmp_path):
    _, often = train(tmp_path, "often", look_epochs=1)
    _, seldom = train(tmp_path, "seldom", look_epochs=2)
    one, other = (load(folder).state_dict() for folder in (often, seldom))
    assert all(torch.equal(part, other[name]) for name, part in one.items())
    assert context_for(tmp_path, "often").output == often
