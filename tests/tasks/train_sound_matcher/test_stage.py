import dataclasses
import json

import numpy as np
import pytest
import torch

from core.contract import build
from core.errors import InvalidValueError
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders.inference import embed
from tasks.presets.reading import open_presets
from tasks.renderer import pool
from tasks.sound_matching import estimator, fitting, rerendering
from tasks.sound_matching.audio_distances import AudioDistances, compare
from tasks.sound_matching.decoding import exact
from tasks.sound_matching.examples import Sounds, training_rows
from tasks.train_sound_matcher.spec import Request, Settings
from tasks.training import loop
from tests.tasks.train_sound_matcher import toy
from tests.tasks.train_sound_matcher.toy import BY_HAND, PROXY, TEST, TRAIN, VAL, train


def test_a_training_with_both_losses_and_its_record_is_that_of_the_written_weights(data_root):
    result, output = train(data_root, "mix", val_sounds=-1)
    network, layout, made, config = estimator.load(output)
    val = open_presets(data_root / VAL)
    sounds = Sounds(val, val.rows("val"), "cpu")
    outputs = fitting.estimate(network, sounds)
    presets = exact(outputs, layout)
    wanted = np.asarray(val.parameters)
    assert layout.spec.digest == toy.SPEC.digest and made["backend"] == "builtin" and config["schedule"] == "mix"
    assert result.val_mae == pytest.approx(np.abs(presets - wanted)[:, layout.numeric].mean(), rel=1e-5)
    assert result.val_switch_accuracy == pytest.approx((presets == wanted)[:, layout.binary].mean())
    assert result.val_category_accuracy == pytest.approx((presets == wanted)[:, layout.categorical].mean())
    with rerendering.open_studio(layout.spec, made, "", 1) as studio:
        found = [sound for sound, _ in studio.render(presets, sounds.notes())]
    told = compare(AudioDistances(32000), found, [np.asarray(sound) for sound in val.audio])
    assert result.val_a_mean == pytest.approx(np.mean([one["a_mean"] for one in told]), rel=1e-4)
    proxy, _, _ = encoders.load(data_root / PROXY)
    hard = torch.from_numpy(presets)
    hard[:, list(layout.numeric)] = torch.sigmoid(outputs)[:, [layout.scalar.index(place) for place in layout.numeric]]
    heard = proxy.normalised(torch.from_numpy(embed(proxy, hard.numpy()))) - proxy.normalised(torch.from_numpy(np.array(val.embeddings)))
    assert result.val_proxy_loss == pytest.approx(float(heard.abs().mean()), rel=1e-3)
    curves = json.loads((output / "curves.json").read_text())
    assert result.steps == 9 and [step for step, _ in curves["val_a_mean"]] == [6, 9] and result.best_step in (6, 9)
    assert [round(value, 3) for _, value in curves["parameter_weight"]] == [1, 1, 1, 1, 0.833, 0.667, 0.5, 0.5, 0.5]
    assert [round(value, 2) for _, value in curves["proxy_weight"]] == [0, 0, 0, 0, 1.67, 3.33, 5, 5, 5]
    for k in range(9):
        total = (
            curves["parameter_weight"][k][1] * curves["parameter_loss"][k][1] + curves["proxy_weight"][k][1] * curves["proxy_loss"][k][1]
        )
        assert curves["loss"][k][1] == pytest.approx(total, rel=1e-5)
    assert sorted(item.name for item in output.iterdir()) == ["curves.json", "model.pt", "training.json"]
    record = json.loads((output / "training.json").read_text())
    assert record["train_presets"] == len(open_presets(data_root / TRAIN)) and record["plan"]["relaxation"] == "soft"


def test_it_learns(data_root):
    result, output = train(data_root, "learns", epochs=40, look_epochs=40, val_sounds=0, schedule="switch", warm_up_share=0.05)
    curves = {name: [value for _, value in curve] for name, curve in json.loads((output / "curves.json").read_text()).items()}
    assert np.mean(curves["parameter_loss"][35:45]) < 0.75 * np.mean(curves["parameter_loss"][:5]), "while it counts"
    assert np.mean(curves["proxy_loss"][-10:]) < 0.75 * np.mean(curves["proxy_loss"][:10])
    assert result.val_a_mean is None and result.val_mae < 0.3


def test_an_interrupted_training_goes_on_to_the_very_same_weights(data_root, monkeypatch):
    _, whole = train(data_root, "whole", proxy_epochs=2)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    look, seen = fitting.Trainee.look, []

    def dies(self):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return look(self)

    monkeypatch.setattr(fitting.Trainee, "look", dies)
    with pytest.raises(KeyboardInterrupt):
        train(data_root, "broken", proxy_epochs=2)
    monkeypatch.setattr(fitting.Trainee, "look", look)
    logged = []
    again = {"emit": lambda kind, values: logged.append(str(values)), "proxy_epochs": 2}
    _, broken = train(data_root, "broken", **again)
    assert any("resumed at step 8" in line for line in logged)
    for name in ("model.pt", "curves.json", "training.json", "proxy/model.pt"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    with pytest.raises(KeyboardInterrupt):
        seen.clear()
        monkeypatch.setattr(fitting.Trainee, "look", dies)
        train(data_root, "other")
    with pytest.raises(InvalidValueError, match="another training"):
        train(data_root, "other", learning_rate=1e-3)


def test_a_fine_tuned_proxy_is_no_worse_and_is_kept(data_root):
    result, output = train(data_root, "tuned", proxy_epochs=30, proxy_learning_rate=1e-3, proxy_batch_presets=12, epochs=1, val_sounds=0)
    tuned, spec, config = encoders.load(output / "proxy")
    val = open_presets(data_root / VAL)
    l1 = {}
    for name, one in (("before", encoders.load(data_root / PROXY)[0]), ("after", tuned)):
        l1[name] = float(np.abs(embed(one, np.asarray(val.parameters)) - val.embeddings).mean())
    assert result.proxy_l1_before == pytest.approx(l1["before"], rel=1e-3) and result.proxy_l1_after == pytest.approx(l1["after"], rel=1e-3)
    assert result.proxy_l1_after < result.proxy_l1_before and spec.digest == toy.SPEC.digest and config["loss"] == "l1"
    assert not (output / "fine_tuning.json").exists() and sorted(item.name for item in (output / "proxy").iterdir()) == ["model.pt"]


def test_levels_are_those_that_render_presets_keeps(data_root):
    presets = open_presets(data_root / TRAIN)
    kept = Sounds(presets, presets.rows("train"), "cpu")
    computed = Sounds(dataclasses.replace(presets, mel=None), presets.rows("train"), "cpu")
    places = torch.arange(len(kept))
    assert kept._levels is presets.mel and np.allclose(kept.levels(places), computed.levels(places), atol=0.01)
    middle, spread = kept.statistics()
    levels = kept.levels(places).double()
    assert middle == pytest.approx(float(levels.mean())) and spread == pytest.approx(float(levels.std(unbiased=False)))


def test_rows_for_validation_are_never_trained_on_and_test_rows_never_seen(data_root):
    presets = open_presets(data_root / TRAIN)
    table = presets.table.copy()
    table.loc[:9, "split"] = "test"
    by_hand = dataclasses.replace(presets)
    by_hand.__dict__["table"] = table
    train_rows, val_rows = training_rows(by_hand, 1, 0.11)
    total = len(table) - 10
    assert len(val_rows) == round(0.11 * total) and not set(train_rows) & set(val_rows) and min(*train_rows, *val_rows) >= 10
    assert sorted([*train_rows, *val_rows]) == list(range(10, len(table)))
    val = open_presets(data_root / VAL)
    assert list(training_rows(val, 1, 0.5)[1]) == list(range(len(val))), "those of its own"


def test_a_set_without_validation_sounds_is_divided(data_root):
    result, output = train(data_root, "divided", fields={"val": "", "proxy": ""}, schedule="parameters", epochs=1, val_share=0.25)
    rows = len(open_presets(data_root / TRAIN))
    assert (result.train_presets, result.val_presets) == (rows - round(0.25 * rows), round(0.25 * rows))
    assert result.val_proxy_loss is None and result.val_a_mean > 0
    assert "proxy_loss" not in json.loads((output / "curves.json").read_text())


def test_what_cannot_be_done_is_refused(data_root):
    with pytest.raises(InvalidValueError, match="no proxy"):
        Request(TRAIN, 1)
    with pytest.raises(InvalidValueError, match=r"channels\[0\]"):
        Settings(channels=())
    assert build(Request, {"train": TRAIN, "seed": 1, "proxy": PROXY, "settings": {"channels": [4, 8]}}).settings.channels == (4, 8)
    toy.render(data_root, BY_HAND, n=4, audio_clips=0)
    with pytest.raises(InvalidValueError, match="sounds are missing"):
        Sounds(open_presets(data_root / BY_HAND), np.arange(3), "cpu")
    with pytest.raises(InvalidValueError, match="made differently"):
        toy.render(data_root, "stages/render_presets/ee", n=3, split="val", hold_s=0.2)
        train(data_root, "differently", fields={"val": "stages/render_presets/ee"})
    meta = rerendering.circumstances(open_presets(data_root / TRAIN).meta)
    meta["plugin"] = {**meta["plugin"], "host": "torch 0.1"}
    with pytest.raises(InvalidValueError, match="another plug-in"), rerendering.open_studio(toy.SPEC, meta, "", 1):
        pass


def test_sounds_that_were_not_kept_are_rendered_again_by_real_processes(data_root, monkeypatch):
    monkeypatch.setattr(rerendering, "Pool", pool.Pool)
    presets = open_presets(data_root / TEST)
    sounds = Sounds(dataclasses.replace(presets, audio=presets.audio[:2]), np.arange(len(presets)), "cpu", heard=False)
    with rerendering.open_studio(toy.SPEC, rerendering.circumstances(presets.meta), "", 1) as studio:
        found = fitting.right_sounds(sounds, [0, 3, 5], studio)
    assert len({(note.pitch, note.velocity) for note in sounds.notes()}) > 1
    for sound, place in zip(found, (0, 3, 5), strict=True):
        assert np.array_equal(sound, presets.audio[place]), "with their own notes"
