import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.derived import clip_seed
from core.errors import InvalidValueError
from tasks.spatial.spoken import spoken
from tasks.spatial_model import storage
from tasks.spatial_model.directions import as_vectors, great_circle_deg
from tasks.spatial_model.scenes import FrontEnd, block, grid_captions
from tasks.spatial_model.sizes import CPU
from tasks.spatial_model.sources import Sources, trimmed
from tasks.spatial_model.spaces import Spaces, Statistics
from tasks.train_spatial import building, recipe
from tasks.train_spatial.batches import Batches
from tasks.train_spatial.loop import ScaledLoop
from tasks.train_spatial.spec import Request, Settings
from tasks.train_spatial.training import Trainee
from tasks.training import loop
from tests.tasks.train_spatial.scenery import CLIPS, LABELS, RATE, ROOMS, SMALL, clips, context_for, rooms, scenery, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenery(tmp_path_factory.mktemp("scenery"))


def material(root, **options):
    request = Request(CLIPS, ROOMS, seed=1, settings=Settings(**{**SMALL, **options}))
    context = context_for(root, "material")
    sizes = building.shape_of(request)
    found = building.open_material(request, sizes, context)
    return request, recipe.plan(request.settings, len(found.train[0]), len(found.train[1]), sizes, "cpu"), found, context


def test_one_training_writes_model_curves_and_a_record(root):
    result, output = train(root, "whole", weights="learned")
    assert (result.steps, result.updates, result.train_clips, result.train_rirs, result.unreadable) == (4, 4, 6, 6, 0)
    curves = json.loads((output / "curves.json").read_text())
    names = ("loss", "space", "source", "physical", "scale_space", "log_variance_space", "log_variance_physical")
    assert all(len(curves[name]) == 4 for name in names) and [step for step, _ in curves["val_top1"]] == [4]
    first = {name: curves[name][0][1] for name in names}
    assert first["loss"] == pytest.approx(first["space"] + first["source"] + first["physical"], rel=1e-5), "log-variances begin at 0"
    record = json.loads((output / "training.json").read_text())
    assert record["plan"]["batch_sources"] == 3 and record["source_label"] == "caption" and not (output / "checkpoint.pt").exists()
    assert any(value != 0 for value in record["log_variances"])
    model, config = storage.load(output)
    spaces = Spaces(root / ROOMS, "train", RATE, 1000)
    areas = spaces.catalogue.table[spaces.catalogue.table["split"] == "train"]["area_m2"]
    assert config["statistics"]["mean"][0] == pytest.approx(areas.mean()) and config["statistics"]["sd"][0] == pytest.approx(
        areas.std(ddof=0)
    )
    assert "dog" in model.tokenizer.vocabulary and "mid-sized" in model.tokenizer.vocabulary and not model.training
    assert config["azimuth_sign"] == "left_positive"


@pytest.mark.parametrize("options", [{}, {"weights": "learned", "accumulate": 2}, {"task": "attributes"}])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(root, monkeypatch, options):
    name = "-".join(map(str, options.values())) or "plain"
    _, whole = train(root, f"{name}-whole", **options)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1)
    import tasks.train_spatial.loop as own

    monkeypatch.setattr(own, "CHECKPOINT_EVERY_S", -1)

    def stop(kind, values):
        if kind == "progress" and values["done"] >= 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(own.ScaledLoop, "_report", lambda self, step: stop("progress", {"done": step + 1}))
    with pytest.raises(KeyboardInterrupt):
        train(root, f"{name}-broken", **options)
    monkeypatch.undo()
    log = []
    _, again = train(root, f"{name}-broken", emit=lambda kind, values: log.append(values.get("message", "")), **options)
    assert "resumed at step 2" in log
    file = "branch.pt" if options.get("task") else "model.pt"
    states = [torch.load(folder / file, weights_only=True) for folder in (whole, again)]
    states = [state.get("state", state) for state in states]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert (whole / "curves.json").read_bytes() == (again / "curves.json").read_bytes()


def test_a_checkpoint_of_another_training_is_refused(root):
    output = context_for(root, "other").output
    loop.save_checkpoint(output, {"seed": 99, "step": 1})
    with pytest.raises(InvalidValueError, match="checkpoint of another training"):
        train(root, "other")


def test_a_batch_is_a_block_of_its_clips_and_rirs(root):
    _, plan, found, _ = material(root)
    batches = Batches(*found.train, plan, 1, "cpu", 0)
    scenes, places, spots = batches.scenes(1), batches.places(1), batches.spots(1)
    assert scenes.foa.shape == (12, 4, plan.sizes.samples) and len(set(places)) == 3 and len(set(spots)) == 4
    sources, spaces = found.train
    labels = sources.labels("caption")
    for item, text in enumerate(scenes.captions):
        one, other = divmod(item, 4)
        assert sources.captions[places[one]] in text and int(scenes.sources[item]) == labels[places[one]]
        words = spaces.place(spots[other], batches.yaw(1, spots[other])).words
        azimuth = math.degrees(float(scenes.angles[item, 0]))
        if words.direction in ("left", "right"):
            assert (words.direction == "left") == (azimuth > 0), "AmbiX: left is positive"
    assert torch.equal(scenes.spaces, scenes.spaces[:4].repeat(3))
    again = Batches(*material(root)[2].train, plan, 1, "cpu", 2)
    for number in (0, 1):
        other = again.scenes(number)
    assert other.captions == scenes.captions and torch.equal(other.foa, scenes.foa), "threads and what came before change nothing"
    assert Batches(*found.train, plan, 2, "cpu", 0).scenes(1).captions != scenes.captions


def test_some_batches_have_one_azimuth_so_that_the_other_words_must_be_learnt(root):
    _, plan, found, _ = material(root)
    spread = {}
    for share in (0.0, 0.5, 1.0):
        batches = Batches(*found.train, replace(plan, same_azimuth_share=share), 1, "cpu", 0)
        spread[share] = []
        for number in range(24):
            angles = [found.train[1].place(spot, batches.yaw(number, spot)).angles[0] for spot in batches.spots(number)]
            spread[share].append(abs(np.exp(1j * np.array(angles)).mean()))
    assert np.allclose(spread[1.0], 1.0) and max(spread[0.0]) < 0.999
    assert 6 <= sum(length > 0.999 for length in spread[0.5]) <= 18
    directions = [
        np.angle(np.exp(1j * found.train[1].place(batches.spots(number)[0], batches.yaw(number, batches.spots(number)[0])).angles[0]))
        for number in range(24)
    ]
    assert np.std(directions) > 1, "another azimuth in each batch"


def test_mono_batches_are_clips_without_a_place_of_which_only_the_source_is_contrasted(root):
    request, plan, found, context = material(root, mono_share=0.5)
    batches = Batches(*found.train, plan, 1, "cpu", 0)
    kinds = [batches.mono(number) for number in range(40)]
    assert 10 <= sum(kinds) <= 30 and not any(Batches(*found.train, replace(plan, mono_share=0.0), 1, "cpu", 0).mono(n) for n in range(40))
    number = kinds.index(True)
    scenes, places = batches.scenes(number), batches.places(number)
    assert sorted(set(places)) == list(range(6)) and len(places) == plan.items == 12 and not scenes.placed
    for item, place in enumerate(places):
        assert scenes.captions[item] == found.train[0].captions[place]
        wave = found.train[0].heard(place, clip_seed(1, found.train[0].ids[place], number))
        assert all(torch.equal(scenes.foa[item, channel], wave) for channel in range(4))
    model = building.build_model(request, plan.sizes, found, "cpu")
    trainee = Trainee(request, plan, model, found, context)
    trainee._batch(number)
    assert set(trainee._values) == {"source"}
    assert all(part.grad is None for name, part in model.named_parameters() if "space_head" in name or name.startswith("direction"))
    assert model.audio_source_head[1].weight.grad.abs().sum() > 0
    result, output = train(root, "mono", mono_share=0.5)
    curves = json.loads((output / "curves.json").read_text())
    assert result.steps == 4 and len(curves["source"]) == 4 and math.isfinite(result.loss)


def test_every_clip_and_rir_has_its_turn(root):
    _, plan, found, _ = material(root)
    batches = Batches(*found.train, plan, 1, "cpu", 0)
    assert sorted(place for number in (0, 1) for place in batches.places(number)) == list(range(6))
    assert batches.places(0) + batches.places(1) != batches.places(2) + batches.places(3)


def test_a_turned_room_turns_labels_words_and_sound(tmp_path):
    rooms(tmp_path, count=3, splits=("train",))
    spaces = Spaces(tmp_path / ROOMS, "train", RATE, RATE)
    wave = torch.randn(1, RATE // 2, generator=torch.Generator().manual_seed(0))
    for yaw in (0.0, 70.0, -150.0):
        foa = block(wave, spaces.rirs([1]), spaces.delay, [yaw])[0]
        energy = (foa[0] * foa[1:]).sum(1)  # net intensity: y, z, x
        azimuth = math.atan2(float(energy[0]), float(energy[2]))
        expected = spaces.place(1, yaw).angles[0]
        assert abs(math.remainder(azimuth - expected, 2 * math.pi)) < math.radians(8)
        assert abs(math.remainder(expected - spaces.place(1).angles[0] - math.radians(yaw), 2 * math.pi)) < 1e-6


def test_mirrored_catalogues_are_read_as_ambix(tmp_path):
    rooms(tmp_path, count=4, splits=("train",))
    plain = Spaces(tmp_path / ROOMS, "train", RATE, RATE)
    file = tmp_path / ROOMS / "catalogue.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "azimuth_sign": "right_positive"}))
    mirrored = Spaces(tmp_path / ROOMS, "train", RATE, RATE)
    assert mirrored.place(0).angles[0] == pytest.approx(-plain.place(0).angles[0])
    assert torch.allclose(mirrored.rir(0)[1], -plain.rir(0)[1]) and torch.equal(mirrored.rir(0)[0], plain.rir(0)[0])
    compat = Spaces(tmp_path / ROOMS, "train", RATE, RATE, compat=True)
    assert compat.place(0).angles == plain.place(0).angles and torch.equal(compat.rir(0), plain.rir(0))
    assert compat.place(0).quantities[2] == pytest.approx(1.5 * plain.place(0).quantities[2]), "the nominal T30"


def test_an_unreadable_clip_is_replaced_and_named(tmp_path):
    scenery(tmp_path)
    clips_of = Sources(tmp_path / CLIPS, tmp_path, "train", RATE, 1000, trim=False)
    (tmp_path / clips_of.table["path"][0]).write_bytes(b"no sound")
    result, output = train(tmp_path, "hurt")
    named = json.loads((output / "training.json").read_text())["unreadable_clips"]
    assert result.unreadable == 1 and list(named) == [clips_of.ids[0]] and result.train_clips == 6
    for path in clips_of.table["path"]:
        (tmp_path / path).write_bytes(b"")
    with pytest.raises(InvalidValueError, match="no clip can be decoded"):
        train(tmp_path, "none")


def test_compat_has_the_published_faults(root):
    result, output = train(root, "compat", compat=True)
    model, config = storage.load(output)
    assert len(result.faults) == 3 and config["compat"] and config["source_label"] == "clip" and config["space_label"] == "rir"
    assert model.sizes.direction_outputs == 2 and result.best_step == 4
    assert config["azimuth_sign"] == "stored"


def test_captions_of_a_grid_hang_on_ids_or_in_compat_on_one_stream(root):
    sources = Sources(root / CLIPS, root, "train", RATE, 1000, trim=True)
    spaces, compat = (Spaces(root / ROOMS, "train", RATE, 1000, compat=old) for old in (False, True))
    whole = grid_captions(sources, spaces, ([0, 1], [0, 1, 2]), 42)
    assert grid_captions(sources, spaces, ([1], [2]), 42) == whole[-1:] and grid_captions(sources, spaces, ([0, 1], [0, 1, 2]), 43) != whole
    published = grid_captions(sources, compat, ([0, 1], [0, 1, 2]), 42)
    assert published[:3] == grid_captions(sources, compat, ([0], [0, 1, 2]), 42)
    assert published[3:] != grid_captions(sources, compat, ([1], [0, 1, 2]), 42), "the stream goes on"


def test_gradient_cache_gives_the_loss_of_the_whole_batch(root):
    losses, before = [], {}
    for size in (0, 5):
        request, plan, found, context = material(root, cache_items=size)
        model = building.build_model(request, plan.sizes, found, "cpu")
        trainee = Trainee(request, plan, model, found, context)
        model.eval()  # batch norm and dropout would see other rows
        losses.append(trainee._batch(0))
        grads = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
        if size:
            assert grads.keys() == before.keys()
            assert all(torch.allclose(before[name], part, atol=2e-5, rtol=1e-3) for name, part in grads.items())
        before = grads
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_overflow_skips_the_step_and_holds_the_rate():
    weight = torch.nn.Parameter(torch.ones(1))
    from core.context import Context

    context = Context(None, None, emit=lambda kind, values: None)
    optimizer, rates = torch.optim.SGD([weight], lr=1.0), []
    own = ScaledLoop(context, "x", 4, optimizer, lambda update: 0.1 * 0.5**update, 0, 1, scaled=True, clip_norm=0.0)

    def batch(number):
        own.backward(weight.sum() * (math.inf if number == 1 else 1.0))
        rates.append(optimizer.param_groups[0]["lr"])
        return 1.0

    own.go(0, batch, lambda step: None, lambda step: None)
    assert own.updates == 3 and rates == pytest.approx([0.1, 0.05, 0.05, 0.025])
    assert float(weight.detach()) == pytest.approx(1 - 0.1 - 0.05 - 0.025) and own.scaler.get_scale() == 2.0**15
    other = ScaledLoop(context, "x", 4, optimizer, lambda update: 0.1, 0, 1, scaled=True, clip_norm=0.0)
    other.restore(own.state())
    assert other.updates == 3 and other.scaler.get_scale() == 2.0**15


def test_accumulated_gradients_are_the_mean_of_the_batches():
    from core.context import Context

    weight = torch.nn.Parameter(torch.zeros(1))
    own = ScaledLoop(
        Context(None, None, emit=lambda kind, values: None), "x", 2, torch.optim.SGD([weight], lr=1.0), lambda update: 1.0, 0, 2, False, 0.0
    )

    def batch(number):
        own.backward(weight.sum() * number)
        return float(number)

    own.go(0, batch, lambda step: None, lambda step: None)
    assert own.losses == [0.5, 2.5] and float(weight.detach()) == -3.0
    with pytest.raises(InvalidValueError, match="broke down at step 0"):
        ScaledLoop(own.context, "x", 1, own.optimizer, lambda update: 1.0, 0, 1, False, 0.0).go(0, lambda number: math.nan, print, print)


def test_bfloat16_and_short_trainings_run(root):
    result, _ = train(root, "bf16", precision="bfloat16", steps=1, separate_scales=True, weights="off", label_by="rir", rotate=False)
    assert math.isfinite(result.loss) and result.updates == 1


def test_attributes_train_the_branch_that_a_model_then_starts_from(root):
    result, output = train(root, "branch", task="attributes", steps=3)
    record = json.loads((output / "training.json").read_text())
    assert result.weights < 100_000 and 0 < result.val_direction_deg < 180 and record["attributes"][:2] == ["azimuth", "elevation"]
    assert record["val"]["distance"] > 0 and record["val"]["volume"] > 0
    branch = torch.load(output / "branch.pt", weights_only=True)
    for name, path in (("from-branch", str(output)), ("from-stage", "stages/train_spatial/branch")):  # outside the store, and in it
        _, started = train(root, name, branch=path, steps=1, freeze=("spatial_branch",))
        found = storage.load(started)[0].part("spatial_branch").state_dict()
        assert all(torch.equal(part, branch[key]) for key, part in found.items())


def test_a_tiny_training_learns_what_and_where(tmp_path):
    """Three sounds in four places, until held-out ones and their captions begin to find each other."""
    clips(tmp_path, each=3, splits=("train", "val"))
    rooms(tmp_path, count=8, splits=("train", "val"))
    _, output = train(tmp_path, "learn", batch_sources=5, batch_spaces=4, steps=30, learning_rate=2e-3, look_epochs=10, rotate=False)
    curves = json.loads((output / "curves.json").read_text())
    for name, fall in (("source", 0.3), ("space", 0.5), ("physical", 2.0)):
        first, last = (np.mean([value for _, value in curves[name][part]]) for part in (slice(0, 5), slice(-5, None)))
        assert last < first - fall, (name, first, last)
    assert max(value for _, value in curves["val_top1"]) > 0.45, "chance is a third"


def test_clips_are_trimmed_repeated_cut_and_called():
    sound = np.concatenate([np.zeros(1600), 0.5 * np.ones(800), np.zeros(4000)]).astype(np.float32)
    assert len(trimmed(sound, 16000)) == 800 and len(trimmed(np.zeros(100, np.float32), 16000)) == 100
    assert (
        spoken("dog_bark") == "a dog barking"
        and spoken("dog_bark", "a hound") == "a hound"
        and spoken("big_bell") == "the sound of big bell"
    )


def test_clips_of_a_split_only_and_in_turns_of_labels(root):
    sources = Sources(root / CLIPS, root, "train", RATE, 800, trim=True)
    assert len(sources) == 6 and set(sources.table["split"]) == {"train"}
    assert [sources.table["label"][place] for place in sources.spread(3)] == sorted(LABELS)
    assert len(np.unique(sources.labels("clip"))) == 6 and len(np.unique(sources.labels("caption"))) == 3
    one, other = sources.wave(0, seed=1), sources.wave(0, seed=2)
    assert one.shape == (800,) and not torch.equal(one, other) and torch.equal(one, sources.wave(0, seed=1))
    with pytest.raises(InvalidValueError, match="no accepted train clips"):
        empty = root / "empty"
        clips(root, each=1, splits=("val",), folder="empty")
        Sources(empty, root, "train", RATE, 800, trim=True)


def test_statistics_and_angles():
    assert Statistics((1.0, 2.0, 3.0), (2.0, 1.0, 1.0)).scores(torch.tensor([[3.0, 2.0, 1.0]])).tolist() == [[1.0, 0.0, -2.0]]
    assert Statistics((1.0, 2.0, 3.0), (2.0, 1.0, 1.0)).units(np.array([[1.0, 0.0, -2.0]])).tolist() == [[3.0, 2.0, 1.0]]
    axes = as_vectors(np.array([[0.0, 0.0], [np.pi / 2, 0.0], [0.0, np.pi / 2]]))
    assert np.allclose(axes, np.eye(3)) and np.allclose(as_vectors(5 * np.eye(3)), np.eye(3))
    near = as_vectors(np.array([[1e-7, 0.0]]))
    assert great_circle_deg(axes, axes[[1, 1, 0]]) == pytest.approx([90, 0, 90]) and great_circle_deg(near, axes[:1])[0] == pytest.approx(
        np.rad2deg(1e-7)
    )


def test_front_end_makes_maps_of_the_announced_size():
    active, reactive, omni = FrontEnd(CPU)(torch.randn(2, 4, CPU.samples))
    assert active.shape == reactive.shape == (2, 3, *CPU.maps) and omni.shape == (2, CPU.samples)


@pytest.mark.parametrize(
    "values", [{"warm_up_share": 0.9, "hold_share": 0.5}, {"space_weight": 0.0, "source_weight": 0.0}, {"accumulate": 0}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(InvalidValueError):
        Settings(**values)
