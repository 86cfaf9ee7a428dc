import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.contrastive import hear
from tasks.contrastive.encoder import load, random_encoder, save
from tasks.contrastive.features import VGGish
from tasks.embed import stage
from tasks.embed.spec import Request, Settings
from tests.tasks.featurise.grids import write_grid

FOLDER = "stages/prepare/aa"
LENGTHS = (0.3, 1.0, 2.5, 5.0, 1.0, 0.9, 3.0)
SIZES = {"width": 4, "dimensions": 12}


def sound(number, seconds, rate_hz):
    rng = np.random.default_rng(number)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.2 * np.sin(2 * np.pi * (200 + 100 * number) * times) + 0.02 * rng.standard_normal(len(times))).astype(np.float32)


@pytest.fixture
def root(tmp_path):
    """Seven clips of several lengths and rates, and a trained encoder that has heard two of them."""
    rows = []
    for number, seconds in enumerate(LENGTHS):
        rate_hz = 16000 if number % 2 else 22050
        path = f"{FOLDER}/audio/{number}.wav"
        audio.write(tmp_path / path, sound(number, seconds, rate_hz), rate_hz)
        split = ("train", "val", "test")[number % 3]
        parents = ["heard as its parent"] if number == 4 else []
        rows.append(manifest.row(f"clip{number}", path, "gold", label=f"l{number % 2}", split=split, fold=str(number % 3), parents=parents))
    rows.append(manifest.row("out", f"{FOLDER}/audio/none.wav", "gold", status="rejected", reason="silent"))
    manifest.write(tmp_path / FOLDER, manifest.frame(rows))
    trained = tmp_path / "stages/train_contrastive/bb"
    save(trained, random_encoder(5, SIZES), {"seed": 5})
    save(trained / "epochs/0010", random_encoder(6, SIZES), {"seed": 6})
    (trained / "training.json").write_text(json.dumps({"heard": ["clip2", "heard as its parent"]}))
    return tmp_path


def embed(root, name="run", encoder="trained", checkpoint=None, shards=3, done=None, **settings):
    output = root / "stages/embed" / name
    output.mkdir(parents=True, exist_ok=True)
    found = {"trained": "stages/train_contrastive/bb", "random": "", "mel": ""}[encoder] if checkpoint is None else checkpoint
    request = Request(FOLDER, encoder, found, shards, Settings(**settings))
    context = Context(output, root, threads=1, emit=lambda kind, values: None)
    stage.run_shards(request, context, [shard for shard in range(shards) if not context.shard_is_done(shard)] if done is None else done)
    return stage.run(request, context), output


def read(output):
    return np.load(output / "embeddings.npy", allow_pickle=False), pd.read_parquet(output / "table.parquet")


def test_every_accepted_clip_has_a_row_and_the_mean_of_its_stretches(root):
    result, output = embed(root)
    array, table = read(output)
    assert array.shape == (7, 12) and array.dtype == np.float32 and table["clip_id"].tolist() == [f"clip{number}" for number in range(7)]
    assert table["split"].tolist()[:3] == ["train", "val", "test"] and table["fold"].tolist()[:3] == ["0", "1", "2"]
    assert (result.clips, result.dimensions, result.rejected, result.heard) == (7, 12, 0, 2)
    assert table["heard"].tolist() == [number in (2, 4) for number in range(7)]
    encoder, features = load(root / "stages/train_contrastive/bb"), VGGish()
    for number, seconds in enumerate(LENGTHS):
        heard = torch.from_numpy(audio.load_mono(root / f"{FOLDER}/audio/{number}.wav", 16000))
        cut = [heard] if len(heard) < 15600 else heard.unfold(0, 15600, 15360)
        left = max(0, len(heard) - 15600) % 15360
        stretches = [*cut, *([heard[-15600:]] if left >= 7680 else [])]
        expected = torch.stack([encoder.network(features(one[None]))[0] for one in stretches]).mean(0)
        assert table["stretches"][number] == len(stretches) == {0.3: 1, 1.0: 1, 2.5: 3, 5.0: 5, 0.9: 1, 3.0: 3}[seconds]
        assert np.allclose(array[number], expected.numpy(), rtol=1e-3, atol=1e-3 * float(expected.abs().max())), number


def test_shards_neighbours_and_resuming_change_no_bit(root):
    _, whole = embed(root, "whole", shards=1)
    _, parts = embed(root, "parts", shards=4)
    assert (whole / "embeddings.npy").read_bytes() == (parts / "embeddings.npy").read_bytes()
    with pytest.raises(FileNotFoundError):
        embed(root, "again", shards=4, done=[2])
    _, again = embed(root, "again", shards=4)
    assert (again / "embeddings.npy").read_bytes() == (whole / "embeddings.npy").read_bytes()
    pd.testing.assert_frame_equal(read(again)[1], read(whole)[1])


def test_random_encoders_hang_on_their_seed_and_take_a_checkpoints_sizes(root):
    first = read(embed(root, "a", "random", seed=5, **SIZES)[1])[0]
    assert np.array_equal(first, read(embed(root, "b", "random", "stages/train_contrastive/bb", seed=5)[1])[0]), (
        "the sizes of the checkpoint"
    )
    assert np.array_equal(first, read(embed(root, "c")[1])[0]), "this test's trained encoder has the first weights of seed 5"
    assert not np.allclose(first, read(embed(root, "d", "random", seed=6, **SIZES)[1])[0])
    kept = embed(root, "e", "trained", "stages/train_contrastive/bb/epochs/0010")
    assert np.array_equal(read(kept[1])[0], read(embed(root, "f", "random", seed=6, **SIZES)[1])[0]) and kept[0].heard == 2


def test_mel_statistics(root):
    result, output = embed(root, encoder="mel")
    array, table = read(output)
    assert result.dimensions == 128 and (table["stretches"] == 1).all() and result.heard == 0
    heard = torch.from_numpy(audio.load_mono(root / f"{FOLDER}/audio/3.wav", 16000))
    levels = VGGish().log_mel(heard).numpy()
    assert np.allclose(array[3], np.concatenate([levels.mean(0), levels.std(0)]), atol=1e-4)


def test_peak_level_makes_gain_no_difference(root):
    path = root / f"{FOLDER}/audio/1.wav"
    before = read(embed(root, "a", level="peak")[1])[0][1], read(embed(root, "b")[1])[0][1]
    sound, rate_hz = audio.read(path)
    audio.write(path, 0.5 * sound, rate_hz, "FLOAT")
    after = read(embed(root, "c", level="peak")[1])[0][1], read(embed(root, "d")[1])[0][1]
    assert np.allclose(before[0], after[0], rtol=1e-3, atol=1e-2 * np.abs(after[0]).max()) and not np.allclose(
        before[1], after[1], rtol=1e-2
    )


def test_layers_and_deviations_may_be_put_beside_the_output(root):
    plain, rich = embed(root, "a"), embed(root, "b", layers="all", pooling="mean_std")
    one, other = read(plain[1])[0], read(rich[1])[0]
    assert rich[0].dimensions == other.shape[1] == 2 * (15 * 4 + 12)
    assert np.allclose(other[:, 60:72], one, rtol=1e-4, atol=1e-5 * np.abs(one).max())
    encoder, heard = load(root / "stages/train_contrastive/bb"), audio.load_mono(root / f"{FOLDER}/audio/3.wav", 16000)
    hidden = []
    encoder.network.layer2.register_forward_hook(lambda module, inputs, output: hidden.append(output.mean((2, 3))))
    encoder(encoder.features.stretches(torch.from_numpy(heard)))
    assert np.allclose(other[3, 4:12], hidden[0].mean(0), rtol=1e-3) and np.allclose(
        other[3, 76:84], hidden[0].std(0, correction=0), rtol=1e-2
    )
    assert not other[1, 72:].any(), "a single stretch has no deviation"


def test_unreadable_clips_are_counted_and_too_many_refused(root):
    (root / f"{FOLDER}/audio/1.wav").write_bytes(b"no sound")
    with pytest.raises(InvalidValueError, match="clip1"):
        embed(root, "strict")
    result, output = embed(root, "lenient", max_reject_fraction=0.5)
    assert (result.clips, result.rejected) == (6, 1) and list(json.loads((output / "rejected.json").read_text())) == ["clip1"]
    assert "clip1" not in read(output)[1]["clip_id"].tolist()


def test_encoder_and_checkpoint_must_fit():
    for encoder, checkpoint in (("trained", ""), ("mel", "a")):
        with pytest.raises(InvalidValueError, match="do not fit"):
            Request("a", encoder, checkpoint)
    with pytest.raises(InvalidValueError, match="overlap"):
        Settings(overlap=1.0)


def test_tones_of_a_grid_bring_their_factors_and_whole_tones_to_a_fold(root):
    folder, sounds = write_grid(root, freqs=(220.0, 440.0, 880.0), amps=(0.1, 0.5, 1.0), samples=8000)
    output = root / "stages/embed/grid"
    output.mkdir(parents=True)
    request = Request(folder, "mel", "", 2)
    context = Context(output, root, threads=1, emit=lambda kind, values: None)
    stage.run_shards(request, context, [0, 1])
    result = stage.run(request, context)
    array, table = read(output)
    assert result.clips == len(array) == 36 and set(table["label"]) == {"sine", "triangle", "sawtooth", "square"}
    levels = VGGish().log_mel(torch.nn.functional.pad(torch.from_numpy(sounds[7]), (0, 7600))).numpy()
    assert np.allclose(array[7], np.concatenate([levels.mean(0), levels.std(0)]), atol=1e-4)
    told = [json.loads(text) for text in table["parameters"]]
    assert {round(one["note"], 6) for one in told} == {57.0, 69.0, 81.0} and {one["amplitude"] for one in told} == {0.1, 0.5, 1.0}
    tones = {(row.label, one["frequency"], row.fold) for row, one in zip(table.itertuples(), told, strict=True)}
    assert len(tones) == 12 and len({fold for _, _, fold in tones}) > 2, "the three amplitudes of a tone are in one fold"


def test_hears_interface_gives_the_stages_embeddings(root):
    array, _ = read(embed(root)[1])
    model = hear.load_model(str(root / "stages/train_contrastive/bb"))
    assert (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size) == (16000, 12, 12)
    for number in (1, 2, 3):
        sounds = torch.from_numpy(audio.load_mono(root / f"{FOLDER}/audio/{number}.wav", model.sample_rate))[None]
        found = hear.get_scene_embeddings(sounds, model)
        assert found.shape == (1, 12) and found.dtype == torch.float32 and np.array_equal(found[0].numpy(), array[number])


def test_hears_timestamps_are_centred_and_50_ms_apart(root):
    model = hear.load_model(str(root / "stages/train_contrastive/bb/model.pt"))
    sounds = torch.randn(2, 24000, generator=torch.Generator().manual_seed(0)) * 0.1
    embeddings, timestamps = hear.get_timestamp_embeddings(sounds, model)
    assert (
        embeddings.shape == (2, 31, 12)
        and timestamps.shape == (2, 31)
        and timestamps[1].tolist() == pytest.approx([50.0 * n for n in range(31)])
    )
    centre = 12 * 800  # 600 ms
    around = torch.nn.functional.pad(sounds[1:, : centre + 7800], (max(0, 7800 - centre), 0))[:, -15600:]
    assert torch.allclose(embeddings[1, 12], model.encoder(around)[0], rtol=1e-3, atol=1e-3 * float(embeddings.abs().max()))
    for wrong in (torch.zeros(5), torch.zeros(0, 5), torch.zeros(2, 0)):
        with pytest.raises(InvalidValueError, match="batch of sounds"):
            hear.get_scene_embeddings(wrong, model)
    with pytest.raises(InvalidValueError, match="which encoder"):
        hear.load_model()


def test_an_encoder_may_embed_by_one_of_its_layers_and_its_random_twin_does_so_too(root):
    every = read(embed(root, "a", layers="all")[1])[0]
    trained = root / "stages/train_contrastive/cc"
    save(trained, random_encoder(5, {**SIZES, "embedding": "layer3"}), {"seed": 5})
    result, output = embed(root, "b", checkpoint="stages/train_contrastive/cc")
    assert result.dimensions == 16 and np.allclose(read(output)[0], every[:, 12:28], rtol=1e-4, atol=1e-5)
    assert np.array_equal(read(output)[0], read(embed(root, "c", "random", "stages/train_contrastive/cc", seed=5)[1])[0])
    whole = read(embed(root, "d", checkpoint="stages/train_contrastive/cc", layers="all")[1])[0]
    assert np.array_equal(whole, every), "the output is kept"
    hearing = hear.load_model(str(trained / "model.pt"))
    assert hearing.scene_embedding_size == 16
    saved = torch.load(trained / "model.pt", weights_only=True)
    saved["config"].pop("embedding")
    torch.save(saved, trained / "model.pt")
    assert load(trained).dimensions == 12, "encoders from before embed by their output"
