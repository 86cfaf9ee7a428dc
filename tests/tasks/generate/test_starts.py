import json

import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.generate.jobs import jobs
from tasks.generate.spec import Request, Settings
from tasks.generate.stage import run, run_shards
from tasks.generate.starts import Starts, crossover, tilted
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.codec import FrontEnd, Mel

RATE = 16000
FROM_GOLD = {"initialize_audio": True, "init_noise_level": 0.3}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Six gold clips of two classes, one more of a class of its own, and an untrained model of one second."""
    root = tmp_path_factory.mktemp("starts")
    rows = []
    for number in range(7):
        path, seconds = f"stages/caption/aa/audio/{number}.wav", 0.5 + 0.1 * (number % 3)
        tone = 0.2 * np.sin(2 * np.pi * (200 + 300 * number) * np.arange(int(seconds * RATE)) / RATE)
        audio.write(root / path, tone.astype(np.float32), RATE)
        values = {"label": "z" if number == 6 else "ab"[number % 2], "split": "train", "duration_s": seconds}
        rows.append(manifest.row(f"{number:016x}", path, "gold", parameters={"captions": ["tone", "again"]}, **values))
    manifest.write(root / "stages/caption/aa", manifest.frame(rows))
    torch.manual_seed(0)
    front_end = FrontEnd(mean=-5.0, std=3.0, griffin_lim_iterations=2)
    config = text_to_audio.embedded_config(front_end, 0.7, 8, 64, 1, "v")
    model = text_to_audio.TextToAudio(text_to_audio.with_front_end(config, front_end, ["tone", "again"]))
    (root / "stages/train_text_to_audio/aa").mkdir(parents=True)
    model.save(root / "stages/train_text_to_audio/aa")
    return root


def generate(root, name, shards=2, clips="stages/caption/aa", round_number=0, gold="", **settings):
    output = root / "stages" / "generate" / name
    output.mkdir(parents=True, exist_ok=True)
    context = Context(output, root, threads=1, final=f"stages/generate/{name}", emit=lambda kind, values: None)
    options = {"steps": 2, "num_iters": 2, **settings}
    request = Request(clips, "stages/train_text_to_audio/aa", shards, Settings(**options), round_number, gold)
    run_shards(request, context, list(range(shards)))
    return run(request, context), manifest.read(output)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_crossover_is_smooth_seeded_and_has_its_share(share):
    made = [crossover(200, share, np.random.default_rng(seed)) for seed in range(30)]
    assert np.mean(made) == pytest.approx(share, abs=0.05)
    assert all(curve.min() >= 0 and curve.max() <= 1 and np.abs(np.diff(curve)).max() < 0.6 for curve in made)
    assert all(curve.min() < 0.1 and curve.max() > 0.9 for curve in made), "mostly one clip or the other"
    assert np.array_equal(made[0], crossover(200, share, np.random.default_rng(0))) and not np.allclose(made[0], made[1])


def starts_of(root, **settings):
    model = text_to_audio.load(root / "stages/train_text_to_audio/aa")
    made = Settings(**FROM_GOLD, **settings)
    table = manifest.read(root / "stages/caption/aa")
    context = Context(root, root, threads=1)
    return model, jobs(Request("stages/caption/aa", "m", 1, made), table), Starts(model, table, made, context)


def test_a_mixed_start_holds_stretches_of_both_clips(data_root):
    model, work, starts = starts_of(data_root, init_mix=0.5)
    table = manifest.read(data_root / "stages/caption/aa").set_index("clip_id")
    for job in work[:6]:
        start = starts.start(job)
        assert start.partner != job.gold_id and table.loc[start.partner, "label"] == job.label
        own = starts.sound(job.gold_path)
        other = starts.sound(table.loc[start.partner, "path"])
        other = np.tile(other, 3)[: len(own)]
        one, two = (model.encode(torch.from_numpy(sound)[None]) for sound in (own, other))
        # Solved for the weight frame by frame: it is the same in every channel, from 0 to 1.
        weight = ((start.latent - one) * (two - one)).sum(1) / ((two - one) ** 2).sum(1)
        assert torch.allclose(start.latent, one + weight[:, None] * (two - one), atol=1e-4)
        assert weight.min() > -1e-3 and weight.max() < 1 + 1e-3 and 0.3 < float(weight.mean()) < 0.7
        assert torch.equal(start.latent, starts.start(job).latent), "the same job, the same start"


def test_a_class_of_one_clip_starts_at_that_clip(data_root):
    model, work, starts = starts_of(data_root, init_mix=0.5)
    lonely = next(job for job in work if job.label == "z")
    start = starts.start(lonely)
    assert start.partner == "" and torch.equal(start.latent, model.encode(torch.from_numpy(starts.sound(lonely.gold_path))[None]))


def test_a_rolled_start_is_the_shifted_clip(data_root):
    model, work, starts = starts_of(data_root, init_roll=True)
    job = work[0]
    own, start = starts.sound(job.gold_path), starts.start(job)
    shift = int(np.random.default_rng([job.seed, 1]).integers(0, len(own)))
    expected = model.encode(torch.from_numpy(np.concatenate([own[-shift:], own[:-shift]]))[None])
    assert shift > 0 and torch.allclose(start.latent, expected, atol=1e-5)
    assert not torch.allclose(start.latent, starts.start(work[1]).latent, atol=1e-3), "another iteration, another shift"


def test_manifest_names_both_parents_and_everything_that_made_the_clip(data_root):
    _, table = generate(data_root, "mixed", **FROM_GOLD, init_mix=0.4, init_roll=True, negative_prompt="again")
    for row in table.itertuples():
        parameters = json.loads(row.parameters)
        expected = {"round": 0, "sampler": "v-ddim", "steps": 2, "cfg_scale": 3.0, "negative_prompt": "again", "precision": "float32"}
        assert {name: parameters[name] for name in expected} == expected and parameters["init_noise_level"] == 0.3
        assert {"seed", "caption_index", "iteration", "model", "init_roll"} <= set(parameters)
        partners = [parameters["partner"]] if parameters["partner"] else []
        assert list(row.parents)[1:] == partners and len(partners) == (row.label != "z")
    _, sharded = generate(data_root, "mixed4", 5, **FROM_GOLD, init_mix=0.4, init_roll=True, negative_prompt="again", batch_size=3)
    assert list(sharded["clip_id"]) == list(table["clip_id"]) and list(sharded["parameters"]) == list(table["parameters"])


def test_ids_change_with_everything_that_changes_the_sound(data_root):
    variants = [
        {}, {"seed": 1}, {"steps": 3}, {"cfg_scale": 2.0}, {"negative_prompt": "again"}, {"sampler": "dpmpp-2m"}, {"precision": "bfloat16"},
        {"match_level": False}, {"initialize_audio": True}, {"initialize_audio": True, "init_mix": 0.5},
        {"initialize_audio": True, "init_roll": True}, {"initialize_audio": True, "init_noise_level": 0.7},
    ]  # fmt: skip
    table = manifest.read(data_root / "stages/caption/aa")
    seen = [
        job.clip_id
        for settings in variants
        for model in ("stages/train_text_to_audio/aa", "stages/align_text_to_audio/bb")
        for job in jobs(Request("stages/caption/aa", model, 1, Settings(**settings)), table)
    ]
    assert len(seen) == len(set(seen)) == 12 * 2 * 14
    same = [job.clip_id for job in jobs(Request("stages/caption/aa", "stages/train_text_to_audio/aa", 1, Settings(batch_size=2)), table)]
    assert set(same) <= set(seen)


def revised(root, name, captions_of):
    """Write a folder as revise_captions does: the gold rows with rejected clips, one revised caption for each."""
    table = manifest.read(root / "stages/caption/aa").iloc[: len(captions_of)].copy()
    for number, captions in enumerate(captions_of):
        parameters = {"captions": captions, "revised_from": [f"old{number}{i}" for i in range(len(captions))], "round": 1}
        table.loc[number, "parameters"] = json.dumps(parameters)
    manifest.write(root / f"stages/revise_captions/{name}", table)
    return f"stages/revise_captions/{name}"


def test_a_later_round_makes_one_clip_for_each_revised_caption(data_root):
    clips = revised(data_root, "aa", [["again tone"], ["again", "tone again", "tone"]])
    result, table = generate(
        data_root, "round1", clips=clips, round_number=1, num_iters=2, gold="stages/caption/aa", **FROM_GOLD, init_mix=0.5
    )
    assert result.clips == 4
    parameters = [json.loads(text) for text in table["parameters"]]
    assert sorted(values["revised_from"] for values in parameters) == ["old00", "old10", "old11", "old12"]
    assert {values["round"] for values in parameters} == {1} and all(values["partner"] for values in parameters)
    again = [job.seed for job in jobs(Request(clips, "m", round=2), manifest.read(data_root / clips))]
    first = [values["seed"] for values in parameters]
    earlier = [job.seed for job in jobs(Request(clips, "m"), manifest.read(data_root / clips))]
    assert not set(again) & set(first) and not set(earlier) & set(first) and len(set(first)) == 4


def test_nothing_in_gives_nothing_out(data_root):
    clips = revised(data_root, "empty", [])
    result, table = generate(data_root, "none", clips=clips, round_number=1)
    assert result == type(result)(clips=0, rejected=0, seconds=0.0) and len(table) == 0


def test_validation_clips_never_reach_the_generator(data_root):
    table = manifest.read(data_root / "stages/caption/aa")
    table.loc[2, "split"] = "val"
    manifest.write(data_root / "stages/caption/leaky", table)
    with pytest.raises(InvalidValueError, match="not train clips"):
        generate(data_root, "leaky", clips="stages/caption/leaky")
    with pytest.raises(InvalidValueError, match="not train clips"):
        generate(data_root, "leaky2", gold="stages/caption/leaky", **FROM_GOLD, init_mix=0.5)
    with pytest.raises(InvalidValueError, match="no start to vary"):
        Settings(init_mix=0.5)


def test_detail_of_the_start_is_kept_by_the_sample_where_the_model_changes_nothing(data_root):
    _, table = generate(data_root, "kept", initialize_audio=True, init_noise_level=0.0, detail="start", match_level=False)
    gold = manifest.read(data_root / "stages/caption/aa").set_index("clip_id")
    for row in table.itertuples():
        made, _ = audio.read(data_root / row.path)
        own, _ = audio.read(data_root / gold.loc[row.parents[0], "path"])
        assert np.abs(made - own).max() < 2e-4, "16 bits of the file, and nothing of the decoder"
        assert json.loads(row.parameters)["detail"] == "start"
    _, changed = generate(data_root, "changed", detail="start", **FROM_GOLD)
    assert set(changed["status"]) == {"accepted"} and not set(changed["sha256"]) & set(table["sha256"])


def test_filter_moves_a_sound_by_what_the_mels_say():
    mel = Mel(FrontEnd())
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(1))
    before = mel.analyse(noise, 63)
    assert torch.allclose(mel.moved(noise, before, before), noise, atol=1e-5)
    raised = mel.moved(noise, before, before + np.log(2.0) / mel.front_end.std)
    assert torch.allclose(raised, 2 * noise, atol=1e-4), "6 dB everywhere is twice the sound"
    wanted = before.clone()
    wanted[:, 60:80] += np.log(4.0) / mel.front_end.std
    change = ((mel.analyse(mel.moved(noise, before, wanted), 63) - before) * mel.front_end.std)[0].mean(1)
    assert change[66:74].numpy() == pytest.approx(np.log(4.0), abs=0.1) and change[:50].abs().max() < 0.05 > change[90:].abs().max()
    far = mel.moved(noise, before, before + 100.0)
    assert float(far.abs().max()) < 10 ** (24 / 20) * 1.01 * float(noise.abs().max()), "no more than 24 dB"


def test_detail_without_a_start_or_a_mel_front_end_is_refused():
    with pytest.raises(InvalidValueError, match="no start to take the detail from"):
        Settings(detail="start")
    with pytest.raises(InvalidValueError, match="only a model with a mel front end"):
        text_to_audio.TextToAudio.decode_onto(type("Pretrained", (), {"mel": None})(), *torch.zeros(3, 1, 4))


def test_a_start_at_another_speed_has_another_pitch_within_the_limit(data_root):
    def pitch(sound):
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
        return float(np.argmax(spectrum)) * RATE / (1 << 17)

    _, work, starts = starts_of(data_root, init_speed=0.25)
    ratios = [pitch(starts.start(job).sound) / pitch(starts.sound(job.gold_path)) for job in work]
    assert all(0.79 < ratio < 1.26 for ratio in ratios) and max(ratios) > 1.05 and min(ratios) < 0.95
    assert all(len(starts.start(job).sound) == len(starts.sound(job.gold_path)) for job in work), "still as long as its gold clip"


def test_a_random_filter_is_smooth_seeded_and_as_wide_as_said():
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    gains = []
    for seed in range(60):
        made = tilted(noise, RATE, 6.0, np.random.default_rng(seed))
        ratio = 20 * np.log10(np.abs(np.fft.rfft(made))[1:-1] / np.abs(np.fft.rfft(noise))[1:-1])
        assert np.abs(np.diff(ratio)).max() < 0.3, "no steps"
        gains.append(ratio[[100, 2000, 7900]])
    assert np.std(gains, axis=0) == pytest.approx(6.0, rel=0.35) and np.abs(np.mean(gains, axis=0)).max() < 2.0
    assert np.array_equal(tilted(noise, RATE, 6.0, np.random.default_rng(3)), tilted(noise, RATE, 6.0, np.random.default_rng(3)))


def test_variations_need_a_start():
    with pytest.raises(InvalidValueError, match="no start to vary"):
        Settings(init_speed=0.2)


@pytest.fixture(scope="module")
def pool(data_root):
    """Two clips of the pool for one of the classes, one of them short."""
    rows = []
    for number in range(2):
        path = f"stages/retrieve/aa/audio/p{number}.wav"
        tone = 0.5 * np.sin(2 * np.pi * (3000 + 1000 * number) * np.arange(int((0.2 + 0.8 * number) * RATE)) / RATE)
        audio.write(data_root / path, tone.astype(np.float32), RATE)
        rows.append(manifest.row(f"p{number}", path, "retrieve", label="a", split="train", duration_s=0.2 + 0.8 * number))
    manifest.write(data_root / "stages/retrieve/aa", manifest.frame(rows))
    return "stages/retrieve/aa"


def test_a_share_of_the_clips_starts_from_the_pool_where_it_knows_the_label(data_root, pool):
    model = text_to_audio.load(data_root / "stages/train_text_to_audio/aa")
    settings = Settings(**FROM_GOLD, init_mix=0.5, init_pool=0.5, num_iters=20)
    table = manifest.read(data_root / "stages/caption/aa")
    context = Context(data_root, data_root, threads=1)
    starts = Starts(model, table, settings, context, manifest.read(data_root / pool))
    work = jobs(Request("stages/caption/aa", "m", 1, settings, pool=pool), table)
    made = [(job, starts.start(job)) for job in work]
    of_a = [start for job, start in made if job.label == "a"]
    assert 0.3 < np.mean([start.pooled for start in of_a]) < 0.7 and {start.partner for start in of_a if start.pooled} == {"p0", "p1"}
    assert not any(start.pooled for job, start in made if job.label != "a")
    for job, start in made:
        if start.pooled:
            peak_hz = np.abs(np.fft.rfft(start.sound)).argmax() * RATE / len(start.sound)
            assert len(start.sound) == len(starts.sound(job.gold_path)) and peak_hz == pytest.approx(
                3000 + 1000 * int(start.partner[1]), abs=20
            )
            assert torch.equal(start.latent, starts.start(job).latent)


def test_a_start_from_the_pool_is_named_as_a_parent_and_in_the_key(data_root, pool):
    output = data_root / "stages/generate/pooled"
    output.mkdir(parents=True)
    context = Context(output, data_root, threads=1, final="stages/generate/pooled", emit=lambda kind, values: None)
    settings = Settings(**FROM_GOLD, init_mix=0.5, init_pool=0.9, steps=2)
    request = Request("stages/caption/aa", "stages/train_text_to_audio/aa", 1, settings, pool=pool)
    run_shards(request, context, [0])
    run(request, context)
    table = manifest.read(output)
    for row in table.itertuples():
        told = json.loads(row.parameters)
        assert (told["start"] == "pool") == (told["partner"] in ("p0", "p1")) and (told["start"] == "gold" or told["init_mix"] == 0)
        assert list(row.parents)[1:] == ([told["partner"]] if told["partner"] else [])
    assert "pool" in {json.loads(row.parameters)["start"] for row in table.itertuples()}
    with pytest.raises(InvalidValueError, match="both or neither"):
        Request("stages/caption/aa", "m", settings=settings)


def test_a_pool_of_test_clips_is_refused(data_root, pool):
    rows = manifest.read(data_root / pool)
    rows["split"] = "test"
    manifest.write(data_root / "stages/retrieve/bad", rows)
    output = data_root / "stages/generate/refused"
    output.mkdir(parents=True)
    context = Context(output, data_root, threads=1, final="stages/generate/refused", emit=lambda kind, values: None)
    request = Request(
        "stages/caption/aa", "stages/train_text_to_audio/aa", 1, Settings(**FROM_GOLD, init_pool=0.5), pool="stages/retrieve/bad"
    )
    with pytest.raises(InvalidValueError, match=r"generate\.pool"):
        run_shards(request, context, [0])
