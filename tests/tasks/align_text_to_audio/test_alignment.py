import math

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from core import manifest
from core.errors import InvalidValueError
from tasks.align_text_to_audio import clips
from tasks.align_text_to_audio.spec import Request, Settings
from tasks.make_pairs.spec import Request as PairsRequest
from tasks.make_pairs.stage import run as make_pairs
from tasks.text_to_audio import model as text_to_audio
from tasks.training import loop
from tests.tasks.align_text_to_audio.conftest import LONG, silent


@pytest.mark.parametrize("objective", ["v", "rectified_flow"])
@pytest.mark.parametrize("tune", ["full", "adapters"])
def test_stage_gives_a_model_folder_in_which_only_the_chosen_weights_changed(data_root, align, objective, tune):
    result, output, curves, _ = align(model=objective, tune=tune, learning_rate=1e-3)
    assert result.initial_loss == pytest.approx(math.log(2), abs=1e-6) and result.first_implicit_accuracy == 0.5
    assert result.steps == 3 and result.pairs == 6 and result.gold_clips == 3 and set(curves) == {"dpo"}
    start = load_file(str(data_root / "stages/train_text_to_audio" / objective / "model.safetensors"))
    end = load_file(str(output / "model.safetensors"))
    changed = {name for name in end if name not in start or not torch.equal(start[name], end[name])}
    if tune == "adapters":
        assert changed == {name for name in end if ".adapter." in name} and set(start) < set(end)
        assert result.trained_parameters == sum(end[name].numel() for name in changed)
        assert all(bool(end[name].any()) for name in changed), "the gates have opened"
    else:
        assert changed and all(name.startswith("model.") for name in changed) and set(start) == set(end)
    loaded = text_to_audio.load(output)
    assert loaded.model.diffusion_objective == objective and result.parameters == sum(p.numel() for p in loaded.model.parameters())
    assert sorted(path.name for path in output.iterdir()) == ["curves.json", "model.safetensors", "model_config.json"]


def test_metrics_are_reported_live_and_kept(align, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY", 2)
    result, _, curves, metrics = align(steps=4, learning_rate=1e-3, sft_steps=2)
    names = ("loss", "implicit_accuracy", "margin", "winner_loss", "loser_loss", "winner_loss_change", "loser_loss_change")
    assert set(curves["dpo"]) == set(names) and all(len(values) == 4 for values in curves["dpo"].values())
    assert {metric["name"] for metric in metrics} == {"sft_loss", *(f"dpo_{name}" for name in names)}
    last = next(metric for metric in metrics if metric["name"] == "dpo_margin" and metric["step"] == 4)
    assert last["value"] == pytest.approx(sum(curves["dpo"]["margin"][2:]) / 2)
    assert result.mean_margin == pytest.approx(curves["dpo"]["margin"][-1], abs=1e-5) and result.steps == 6


def test_reference_is_taken_after_the_sft_steps(align):
    result, _, curves, _ = align(sft_steps=4, sft_learning_rate=1e-2, learning_rate=1e-3)
    assert result.initial_loss == pytest.approx(math.log(2), abs=1e-6) and len(curves["sft"]["loss"]) == 4


@pytest.mark.parametrize("settings", [{"sft_steps": 6}, {"tune": "adapters"}, {"method": "erm"}], ids=["sft+dpo", "adapters", "erm"])
def test_killed_training_goes_on_and_ends_as_if_nothing_had_happened(data_root, align, monkeypatch, settings):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "REPORT_EVERY", 4)
    options = {"steps": 6, "learning_rate": 1e-3, "cfg_dropout": 0.3, "schedule": "inverse"} | settings

    class Killed(Exception):
        pass

    _, whole, _, _ = align("whole", **options)
    last = "erm_loss" if settings.get("method") == "erm" else "dpo_loss"
    for killed_at in ["sft_loss", last] if "sft_steps" in settings else [last]:

        def kill(values, name=killed_at):
            if values["name"] == name:
                raise Killed

        with pytest.raises(Killed):
            align("part", interrupt=kill, **options)
        assert (data_root / "stages/align_text_to_audio/part" / loop.CHECKPOINT).exists()
    _, part, _, _ = align("part", **options)
    for name in ("model.safetensors", "model_config.json", "curves.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name


def test_same_request_same_bytes_and_memory_saving_changes_nothing(align):
    first, again, frugal = (align(name, recompute_activations=name == "c")[1] for name in "abc")
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert (first / "model.safetensors").read_bytes() == (frugal / "model.safetensors").read_bytes()
    assert (first / "model.safetensors").read_bytes() != (align("d", seed=1)[1] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("tune,rate", [("full", 3e-3), ("adapters", 3e-2)])
def test_erm_lowers_the_gold_clips_loss(align, tune, rate):
    result, _, curves, _ = align(method="erm", tune=tune, steps=40, learning_rate=rate, batch_pairs=12)
    losses = curves["erm"]["loss"]
    assert sum(losses[-8:]) < (0.9 if tune == "full" else 0.97) * sum(losses[:8])
    assert result.pairs == 0 and result.mean_margin is None and result.last_implicit_accuracy is None


def test_adapters_can_be_aligned_again_and_their_reference_is_what_they_were(data_root, align):
    align("round1", tune="adapters", learning_rate=1e-1, steps=8, ema_decay=0.5)
    result, output, _, _ = align("round2", model="stages/align_text_to_audio/round1", tune="adapters", adapter_tokens=7)
    assert result.initial_loss == pytest.approx(math.log(2), abs=1e-6), "the reference is the start model, adapters and all"
    assert text_to_audio.load(output).config["synthloom_adapters"] == {"tokens": 20}, "adapters that are there stay"


def test_every_clip_is_encoded_once_from_its_start_and_prompts_stay_whole(data_root):
    model = text_to_audio.load(data_root / "stages/train_text_to_audio/v")
    request = Request("m", "stages/caption/aa", "stages/make_pairs/aa", Settings(sft_steps=1))
    data = clips.read(request, silent(data_root, data_root), model)
    assert len(data.latents) == 9 and data.winners == [0, 0, 1, 1, 2, 2] and sorted(data.losers) == list(range(3, 9))
    assert data.prompts[:2] == ["Sound of a dog", LONG] and len(LONG) > 300
    assert data.gold_captions[1] == [LONG, "a dog 1", "Sound of a dog"]
    from core import audio

    sound = torch.from_numpy(audio.load_mono(data_root / "stages/generate/aa/audio/01.wav", model.sample_rate_hz))
    assert torch.equal(data.latents[data.losers[1]], model.encode(sound[None])[0])


def test_pairs_are_taken_as_make_pairs_writes_them(data_root, align):
    generated = []
    for number in range(3):
        path = f"stages/generate/aa/audio/{number}0.wav"
        values = {"caption": LONG, "parents": [f"{number:016x}"], "label": "dog", "split": "train", "duration_s": 0.4}
        generated.append(manifest.row(f"a{number:015x}", path, "generate", **values))
    manifest.write(data_root / "stages/generate/aa", manifest.frame(generated))
    (data_root / "stages/make_pairs/bb").mkdir()
    context = silent(data_root / "stages/make_pairs/bb", data_root)
    make_pairs(PairsRequest("stages/caption/aa", ("stages/generate/aa",)), context)
    result, _, _, _ = align(pairs="stages/make_pairs/bb")
    assert result.pairs == 3 and result.gold_clips == 3


def test_only_train_clips_and_fitting_tables_are_taken(data_root, align):
    table = pd.read_parquet(data_root / "stages/make_pairs/aa/pairs.parquet")

    def rewrite(changed):
        changed.to_parquet(data_root / "stages/make_pairs/aa/pairs.parquet")

    rewrite(table.assign(split=["train"] * 5 + ["val"]))
    with pytest.raises(InvalidValueError, match=r"pairs that are not train clips.*'val'"):
        align()
    rewrite(table.assign(gold_id=["stranger", *table["gold_id"][1:]]))
    with pytest.raises(InvalidValueError, match=r"pairs of clips that stages/caption/aa does not hold.*stranger"):
        align()
    rewrite(table.drop(columns="split"))
    with pytest.raises(InvalidValueError, match=r"no table of pairs.*split"):
        align()
    rewrite(table)
    gold = manifest.read(data_root / "stages/caption/aa")
    gold.loc[0, "split"] = "test"
    manifest.write(data_root / "stages/caption/aa", gold)
    for method in ("dpo", "erm"):
        with pytest.raises(InvalidValueError, match="clips that are not train clips"):
            align(method=method)


def test_without_gold_clips_there_is_nothing_to_align_with(data_root, align):
    gold = manifest.read(data_root / "stages/caption/aa")
    manifest.write(data_root / "stages/caption/aa", gold.assign(status="rejected", reason="silent"))
    with pytest.raises(InvalidValueError, match=r"stages/caption/aa: no accepted clips"):
        align(method="erm")


def test_requests_and_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(InvalidValueError, match=r"pairs: does not go with method dpo; allowed: a folder of make_pairs"):
        Request("m", "g")
    with pytest.raises(InvalidValueError, match="erm takes the gold clips alone"):
        Request("m", "g", "p", Settings(method="erm"))
    with pytest.raises(InvalidValueError, match=r"align_text_to_audio\.beta"):
        Settings(beta=-1.0)


def test_training_that_breaks_down_says_so(tmp_path):
    part = torch.nn.Parameter(torch.ones(1))
    training = loop.Loop(silent(tmp_path, tmp_path), "dpo", 5, [part], loop.inverse(1e-3), 0, 1)
    losses = iter([1.0, 1.0, math.nan])
    with pytest.raises(InvalidValueError, match=r"dpo loss broke down at step 2.*lower learning rate"):
        training.run(0, lambda generator: part.sum() * next(losses), lambda step: None, lambda step: None)
    assert bool(torch.isfinite(part).all()), "the weights of the last good step are left"


def test_schedules_are_the_published_formulas():
    rate = loop.inverse(5e-5)
    for step in (0, 1, 99, 5000):
        assert rate(step) == pytest.approx(5e-5 * (1 - 0.99 ** (step + 1)) / math.sqrt(1 + step / 1e6), rel=1e-12)
    house = loop.warm_cosine(1.0, 100)
    assert [house(0), house(2)] == [pytest.approx(1 / 3, abs=1e-3), pytest.approx(1.0, abs=2e-3)] and house(99) < 0.06
    assert house(50) == pytest.approx(0.05 + 0.95 / 2)


def test_averaged_weights_follow_the_recursion():
    part = torch.nn.Parameter(torch.zeros(1))
    averaged = loop.AveragedWeights({"w": part}, 0.5)
    expected = 0.0
    for step in range(6):
        with torch.no_grad():
            part.fill_(float(step + 1))
        averaged.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
    averaged.apply()
    assert float(part) == pytest.approx(expected, rel=1e-6)
