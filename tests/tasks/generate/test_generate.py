import json

import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from tasks.generate.jobs import jobs
from tasks.generate.sampling import sample
from tasks.generate.spec import Request, Settings
from tasks.generate.stage import run, run_shards
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.codec import FrontEnd
from tests.donors import bytes_of, finish, heir

RATE = 16000


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Five gold clips of 0.6 to 1.4 s and an untrained model of one second."""
    root = tmp_path_factory.mktemp("generate")
    rows = []
    for number in range(5):
        seconds = 0.6 + 0.2 * number
        tone = 0.05 * (number + 1) * np.sin(2 * np.pi * (300 + 200 * number) * np.arange(int(seconds * RATE)) / RATE)
        path = f"stages/caption/aa/audio/{number}.wav"
        audio.write(root / path, tone.astype(np.float32), RATE)
        parameters = {"captions": [f"tone {number}", f"a tone {number} again"]}
        rows.append(
            manifest.row(f"{number:016x}", path, "gold", label=f"l{number}", split="train", duration_s=seconds, parameters=parameters)
        )
    manifest.write(root / "stages/caption/aa", manifest.frame(rows))
    torch.manual_seed(0)
    front_end = FrontEnd(mean=-5.0, std=3.0, griffin_lim_iterations=4)
    config = text_to_audio.embedded_config(front_end, 1.0, 8, 64, 1, "v")
    model = text_to_audio.TextToAudio(text_to_audio.with_front_end(config, front_end, ["tone", "again"]))
    folder = root / "stages/train_text_to_audio/aa"
    folder.mkdir(parents=True)
    model.save(folder)
    return root


def generate(root, name, shards=2, **settings):
    output = root / "stages" / "generate" / name
    output.mkdir(parents=True, exist_ok=True)
    context = Context(output, root, threads=1, final=f"stages/generate/{name}", emit=lambda kind, values: None)
    options = {"steps": 3, "num_iters": 3, **settings}
    request = Request("stages/caption/aa", "stages/train_text_to_audio/aa", shards, Settings(**options))
    run_shards(request, context, list(range(shards)))
    run(request, context)
    return manifest.read(output)


def sounds(root, table):
    return {row.clip_id: audio.read(root / row.path)[0] for row in table.itertuples()}


def test_every_clip_has_its_parent_caption_seed_label_and_duration(data_root):
    table = generate(data_root, "a")
    gold = manifest.read(data_root / "stages/caption/aa").set_index("clip_id")
    assert len(table) == 15 and table["clip_id"].is_unique and set(table["origin"]) == {"generate"}
    for row in table.itertuples():
        parent, parameters = gold.loc[row.parents[0]], json.loads(row.parameters)
        captions = json.loads(parent["parameters"])["captions"]
        assert row.label == parent["label"] and row.caption == captions[parameters["iteration"] % 2]
        assert row.duration_s == pytest.approx(parent["duration_s"], abs=1 / RATE) and parameters["seed"] >= 0
    assert table["parameters"].map(lambda text: json.loads(text)["seed"]).is_unique


def test_level_follows_the_gold_clip(data_root):
    table = generate(data_root, "level")
    gold = {row.clip_id: audio.read(data_root / row.path)[0] for row in manifest.read(data_root / "stages/caption/aa").itertuples()}
    for row in table.itertuples():
        ratio = np.std(audio.read(data_root / row.path)[0]) / np.std(gold[row.parents[0]])
        assert 0.3 < ratio < 1.1


@pytest.mark.parametrize("start", [False, True])
def test_clips_depend_on_neither_shards_nor_batches(data_root, start):
    one = generate(data_root, f"one{start}", shards=1, batch_size=8, initialize_audio=start)
    many = generate(data_root, f"many{start}", shards=4, batch_size=1, initialize_audio=start)
    assert list(one["clip_id"]) == list(many["clip_id"])
    first, second = sounds(data_root, one), sounds(data_root, many)
    # Griffin-Lim amplifies the last bit of a batched matrix product, so equal means inaudibly different, not bit for bit.
    errors = [np.sqrt(np.mean((first[c] - second[c]) ** 2)) / (np.std(first[c]) + 1e-9) for c in first]
    assert np.median(errors) < 1e-2


def test_same_seed_same_bytes_other_seed_other_sound(data_root):
    first, again, other = generate(data_root, "s1"), generate(data_root, "s2"), generate(data_root, "s3", seed=1)
    assert list(first["sha256"]) == list(again["sha256"]) and not set(first["sha256"]) & set(other["sha256"])


def test_without_noise_the_start_gives_the_gold_clips_reconstruction(data_root):
    model = text_to_audio.load(data_root / "stages/train_text_to_audio/aa")
    latent = torch.randn(1, 8, model.latent_frames)
    settings = Settings(steps=2, initialize_audio=True, init_noise_level=0.0)
    assert torch.allclose(sample(model, ["tone"], [1.0], [5], latent, settings, "cpu"), latent, atol=1e-4)
    noisy = sample(model, ["tone"], [1.0], [5], latent, Settings(steps=2, initialize_audio=True, init_noise_level=1.0), "cpu")
    pure = sample(model, ["tone"], [1.0], [5], None, Settings(steps=2), "cpu")
    assert torch.allclose(noisy, pure, atol=1e-4), "with all noise nothing of the start is left"


def test_gold_clip_reaches_the_model_at_full_scale(data_root):
    model = text_to_audio.load(data_root / "stages/train_text_to_audio/aa")
    loud = torch.sin(torch.arange(RATE) * 0.3)[None]
    assert not torch.allclose(model.encode(loud), model.encode(loud / 32767), atol=1e-2)


def test_stochastic_samplers_are_reproducible_clip_by_clip(data_root):
    model = text_to_audio.load(data_root / "stages/train_text_to_audio/aa")
    settings = Settings(steps=4, sampler="dpmpp-3m-sde")
    both = sample(model, ["tone", "again"], [1.0, 1.0], [5, 6], None, settings, "cpu")
    alone = sample(model, ["again"], [1.0], [6], None, settings, "cpu")
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_jobs_fall_back_to_the_first_caption_when_they_run_out(data_root):
    request = Request("stages/caption/aa", "m", 1, Settings(num_iters=5))
    table = manifest.read(data_root / "stages/caption/aa")
    assert [job.caption_index for job in jobs(request, table)[:5]] == [0, 1, 0, 1, 0]


def test_killed_between_shards_and_combining_nothing_is_lost(data_root):
    output = data_root / "stages/generate/killed"
    output.mkdir(parents=True)
    context = Context(output, data_root, threads=1, final="stages/generate/killed", emit=lambda kind, values: None)
    request = Request("stages/caption/aa", "stages/train_text_to_audio/aa", 2, Settings(steps=2, num_iters=1))
    run_shards(request, context, [0])
    assert context.shard_is_done(0) and not context.shard_is_done(1)
    run_shards(request, context, [1])
    assert run(request, context).clips == 5 == run(request, context).clips


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_clips_of_unchanged_gold_clips_are_taken_over(data_root, mix):
    """One by one, since Griffin-Lim hears the last bit of a batch; with a second gold clip in the start its whole class counts."""
    settings = Settings(steps=2, num_iters=2, batch_size=1, initialize_audio=bool(mix), init_mix=mix)
    before = manifest.read(data_root / "stages/caption/aa")
    before["label"] = ["a", "a", "b", "b", "b"]
    after = before.copy()
    after.loc[0, "parameters"] = json.dumps({"captions": ["another tone"]})
    after["sha256"] = before["sha256"] = [f"sound {number}" for number in range(5)]
    after.loc[4, "sha256"] = "another sound"
    outputs = {}
    for name, table, donors, shards in (("old", before, [], 2), ("new", after, ["old"], 3), ("fresh", after, [], 1)):
        clips = f"stages/caption/{name}{mix}"
        manifest.write(data_root / clips, table)
        request = Request(clips, "stages/train_text_to_audio/aa", shards, settings)
        context, counts = heir(data_root, "generate", f"{name}{mix}", [outputs[donor][1] for donor in donors])
        run_shards(request, context, list(range(shards)))
        run(request, context)
        outputs[name] = (context.output, finish(context.output, request), counts)
    # Gold clip 0 has one caption less, so its second copy has another, too; clip 4 sounds other, and with it its class of three.
    made = 2 + (6 if mix else 2)
    assert outputs["new"][2] == {"clips_made": made, "clips_reused": 10 - made}
    assert bytes_of(outputs["new"][0]) == bytes_of(outputs["fresh"][0])
