"""The shared embedder of ``tasks/clap_model``, with an unfitted compact model."""

import numpy as np
import pytest
import torch

from core import audio
from tasks.clap_model import embedding, loading
from tasks.clap_model.embedding import TEXTS_AT_ONCE, WINDOWS_ON_CPU, Embedder
from tasks.clap_model.windows import MAX_WINDOWS, windows

RATE = 16000


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return loading.CompactClap(loading.CompactConfig()).eval()


def noise(seed, seconds, rate=RATE):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))).astype(np.float32)


def test_a_single_text_is_embedded_like_one_among_others(model):
    with torch.no_grad():
        single, among = model.text_embedding(["Sound of a rain"]), model.text_embedding(["Sound of a rain", "Sound of a dog bark"])
    assert single.shape == (1, 64) and torch.allclose(single[0], among[0], atol=1e-6)
    assert torch.equal(Embedder(model, "cpu").texts(["Sound of a rain"]), single)


def test_texts_come_in_their_order_and_each_is_embedded_once(model, monkeypatch):
    asked = []
    own = model.text_embedding
    monkeypatch.setattr(model, "text_embedding", lambda texts: asked.append(list(texts)) or own(texts))
    embedder, texts = Embedder(model, "cpu"), [f"text {number}" for number in range(TEXTS_AT_ONCE + 1)]
    found = embedder.texts([*texts, "text 3", "text 0"])
    assert asked == [texts[:-1], texts[-1:]], "in batches, the doubles left out"
    assert torch.equal(found[-1], found[0]) and torch.equal(found[-2], found[3]) and len(found) == len(texts) + 2
    assert torch.equal(embedder.texts(["text 5", "text 1"]), found[[5, 1]]) and len(asked) == 2
    for number in (0, len(texts) - 1):
        with torch.no_grad():
            assert torch.allclose(found[number], own([texts[number]])[0], atol=1e-6)


def test_every_clip_gets_the_embeddings_of_its_own_windows_whatever_the_batch(model, tmp_path):
    seconds = {"short": 0.5, "exact": 2.0, "long": 11.0, "slow": 3.0}
    for number, (name, length) in enumerate(seconds.items()):
        rate = 8000 if name == "slow" else RATE
        audio.write(tmp_path / f"{name}.wav", noise(number, length, rate), rate)
    paths = {name: tmp_path / f"{name}.wav" for name in seconds}
    found, unusable = Embedder(model, "cpu", 3).sounds(paths)
    assert list(found) == list(seconds) and not unusable
    assert [len(vectors) for vectors in found.values()] == [1, 1, MAX_WINDOWS, 2]
    for name, path in paths.items():
        with torch.no_grad():
            expected = torch.cat([model.audio_embedding(part[None]) for part in windows(audio.load_mono(path, RATE), 2 * RATE)])
        assert torch.allclose(found[name], expected, atol=1e-5), name


def test_channels_are_averaged(model, tmp_path):
    sound = noise(1, 1.0)
    audio.write(tmp_path / "mono.wav", sound, RATE, "FLOAT")
    audio.write(tmp_path / "stereo.wav", np.stack([1.5 * sound, 0.5 * sound]), RATE, "FLOAT")
    found, _ = Embedder(model, "cpu").sounds({name: tmp_path / f"{name}.wav" for name in ("mono", "stereo")})
    assert torch.allclose(found["mono"], found["stereo"], atol=1e-5)


def test_what_cannot_be_read_is_told_by_clip_and_the_rest_goes_on(model, tmp_path):
    audio.write(tmp_path / "good.wav", noise(0, 1.0), RATE)
    audio.write(tmp_path / "silent.wav", np.zeros(RATE, np.float32), RATE)
    (tmp_path / "text.wav").write_text("no sound")
    names = ("text", "good", "silent", "missing")
    found, unusable = Embedder(model, "cpu").sounds({name: tmp_path / f"{name}.wav" for name in names})
    assert list(found) == ["good"] and {name: error.reason for name, error in unusable.items()} == {
        "text": "unreadable", "silent": "silent", "missing": "unreadable",
    }  # fmt: skip
    assert Embedder(model, "cpu").sounds({}) == ({}, {})


def test_a_cpu_takes_few_windows_at_a_time_a_gpu_as_many_as_asked(model):
    assert Embedder(model, "cpu", 32).batch == WINDOWS_ON_CPU and Embedder(model, "cpu", 2).batch == 2
    assert Embedder(model, "cuda", 32).batch == 32 and embedding.CLIPS_AT_ONCE >= WINDOWS_ON_CPU


def test_bfloat16_moves_no_cosine_by_more_than_thousandths_and_no_spectrogram_at_all(model, monkeypatch):
    tower, seen = model.clap.audio_branch, []
    log_mel = tower.logmel_extractor.forward
    monkeypatch.setattr(tower.logmel_extractor, "forward", lambda powers: seen.append(log_mel(powers)) or seen[-1])
    cut = [torch.from_numpy(noise(number, 2.0))[None] * (1 + number) for number in range(4)]
    exact, rounded = (torch.cat(Embedder(model, "cpu", precision=name).embed(cut)) for name in ("float32", "bfloat16"))
    assert seen[0].dtype == seen[1].dtype == torch.float32 and torch.equal(seen[0], seen[1])
    assert rounded.dtype == torch.float32 and torch.allclose(rounded.norm(dim=1), torch.ones(4))
    assert not torch.equal(exact, rounded) and (exact @ exact.T - rounded @ rounded.T).abs().max() < 0.005
    assert ((exact * rounded).sum(1) > 0.999).all()
