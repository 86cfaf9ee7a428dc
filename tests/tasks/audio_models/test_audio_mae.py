from argparse import Namespace
from fractions import Fraction
from pathlib import PosixPath

import numpy as np
import pytest
import torch

from core import keys
from core.errors import InvalidValueError
from tasks.audio_models import audio_mae
from tasks.audio_models.audio_mae import RATES_HZ, AudioMae, AudioMaePatches
from tasks.audio_models.opening import WITH_WEIGHTS, open_audio_model
from tasks.audio_models.vision_transformer import Size
from tests.tasks.audio_models.random_weights import layer, noise, normalised, randomised

SMALL = Size(6, 24, 3)
TRAINED_WITH = {
    "epoch": 99,
    "scaler": {"scale": 65536.0},
    "args": Namespace(lr=2e-4, output_dir=PosixPath("/checkpoint"), dist_url="env://"),
}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A file of a network that is small, but has the published names and what else is in the published file."""
    monkeypatch.setattr(audio_mae, "SIZE", SMALL)
    torch.save({"model": randomised(AudioMae(SMALL)).state_dict(), **TRAINED_WITH}, tmp_path / "finetuned.pth")
    return tmp_path / "finetuned.pth"


def weights(path):
    with torch.serialization.safe_globals([Namespace, PosixPath]):
        return torch.load(path, weights_only=True)["model"]


def test_the_network_has_the_published_size():
    with torch.device("meta"):
        models = {name: AudioMaePatches(name) for name in RATES_HZ}
    assert {name: model.sample_rate_hz for name, model in models.items()} == {"audiomae": 16000, "audiomae_44k": 44100}
    assert set(RATES_HZ) <= set(WITH_WEIGHTS)
    model = models["audiomae"]
    assert (model.dimensions, model.includes_mel) == (768, False)
    shapes = {name: tuple(part.shape) for name, part in model.network.state_dict().items()}
    # The authors' logs count what is trained; the sine positions are not.
    assert sum(part.numel() for name, part in model.network.named_parameters() if name != "pos_embed") == 85_659_407
    assert {
        "cls_token": (1, 1, 768), "pos_embed": (1, 513, 768), "patch_embed.proj.weight": (768, 1, 16, 16), "fc_norm.weight": (768,),
        "blocks.11.mlp.fc2.weight": (768, 3072), "head.weight": (527, 768), "head.bias": (527,),
    }.items() <= shapes.items() and len(shapes) == 4 + 12 * 12 + 4  # fmt: skip


def levels_by_hand(sound, rate_hz, n_fft, piece=0):
    """Kaldi's filter banks, normalised: frames of 25 ms every 10 ms as far as whole ones go, zeros behind."""
    length, hop = int(rate_hz * 0.025), int(rate_hz * 0.01)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    mel = 1127 * np.log1p(np.arange(n_fft // 2) * rate_hz / n_fft / 700)
    edges = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(rate_hz / 2 / 700), 130)
    step = edges[1] - edges[0]
    banks = np.maximum(0, np.minimum((mel - edges[:-2, None]) / step, (edges[2:, None] - mel) / step))
    rows = []
    for at in range(0, len(sound) - length + 1, hop):
        frame = sound[at : at + length].astype(np.float64)
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, n_fft)[:-1]) ** 2
        rows.append(np.log(np.maximum(banks @ power, 2.0**-23)))
    whole = np.zeros((1024 * (piece + 1), 128))
    kept = np.array(rows)[: len(whole)]
    whole[: len(kept)] = kept
    return (whole[1024 * piece :] + 4.2677393) / (2 * 4.5689974)


@pytest.mark.parametrize(("name", "n_fft"), [("audiomae", 512), ("audiomae_44k", 2048)])
def test_the_front_end_against_numpy(name, n_fft, monkeypatch):
    monkeypatch.setattr(audio_mae, "SIZE", SMALL)
    model = AudioMaePatches(name)
    rate_hz = model.sample_rate_hz
    sound = noise(1, rate_hz)[0] + 0.2
    found = model.levels(sound)
    assert found.shape == (1, 1024, 128) and torch.allclose(found[0, 98:], torch.tensor(4.2677393 / 2 / 4.5689974))
    assert np.allclose(found[0].numpy(), levels_by_hand(sound.numpy(), rate_hz, n_fft), atol=2e-3)


def by_hand(state, levels):
    """Tokens behind each block, of levels [1024, 128]."""
    tokens = [state["cls_token"][0, 0] + state["pos_embed"][0, 0]]
    for frame in range(64):
        for band in range(8):
            patch = levels[frame * 16 : (frame + 1) * 16, band * 16 : (band + 1) * 16]
            token = (state["patch_embed.proj.weight"][:, 0] * patch).sum((1, 2)) + state["patch_embed.proj.bias"]
            tokens.append(token + state["pos_embed"][0, len(tokens)])
    x, found = torch.stack(tokens)[None], []
    for block in range(SMALL.depth):
        x = layer(state, f"blocks.{block}", SMALL.heads)(x)
        found.append(x[0])
    return found


@torch.no_grad()
def test_patches_by_hand(saved):
    model, state = open_audio_model(f"audiomae:{saved}", reduction="none"), weights(saved)
    sounds = noise(2, 16000)
    found = model(sounds)
    assert found.shape == (2, 512, 24) and not found.requires_grad
    levels = model.levels(sounds[1])[0]
    layers = by_hand(state, levels)
    expected = torch.stack([normalised(layers[place][1:], state, "fc_norm", 1e-6) for place in (2, 3, 4, 5)]).mean(0)
    assert torch.allclose(found[1], expected, atol=1e-4)
    logits = normalised(layers[-1][1:].mean(0), state, "fc_norm", 1e-6) @ state["head.weight"].T + state["head.bias"]
    assert torch.allclose(model.network(levels[None])[0], logits, atol=1e-4)
    # A vector hangs on its sound alone; the published reduction.
    assert torch.equal(found[1:], model(sounds[1:])) and not torch.allclose(found[0], found[1], atol=1e-3)
    highest = open_audio_model(f"audiomae:{saved}", reduction="max")
    assert torch.equal(highest(sounds), found.amax(1)) and highest.identity == f"audiomae:{keys.file_digest(saved)[:16]}/max"


@torch.no_grad()
def test_lengths(saved):
    model = open_audio_model(f"audiomae:{saved}", reduction="none")
    long = noise(1, 12 * 16000)
    found = model(long)
    assert found.shape == (1, 1024, 24)  # two pieces: nothing is cut
    second = model.levels(long[0])[1]
    assert np.allclose(second.numpy(), levels_by_hand(long[0].numpy(), 16000, 512, piece=1), atol=2e-3)
    assert torch.equal(found[0, 512:], model.network.contextual(second[None])[0])
    short = noise(1, 100)
    assert model(short).shape == (1, 512, 24)
    assert torch.equal(model(short), model(torch.nn.functional.pad(short, (0, 300))))
    assert model(torch.zeros(1, 1)).isfinite().all()


def test_weights_are_loaded_strictly(saved, tmp_path):
    state = weights(saved)
    before_tuning = {name: part for name, part in state.items() if not name.startswith(("fc_norm", "head"))}
    before_tuning |= {"norm.weight": state["fc_norm.weight"], "norm.bias": state["fc_norm.bias"], "mask_token": torch.zeros(1, 1, 24)}
    wrong = {
        "another network": [
            {"model": before_tuning}, {"model": {**state, "more": torch.zeros(1)}}, {"model": {}}, {"model": 3},
            {"model": {name: part for name, part in state.items() if name != "blocks.5.attn.qkv.bias"}},
            {"model": {**state, "pos_embed": torch.zeros(1, 257, 24)}},  # of 5 s
        ],
        "under 'model'": [state, [1], {}],
        "not a file of weights": [{"model": state, "args": Fraction(1, 2)}],
    }  # fmt: skip
    for message, files in wrong.items():
        for held in files:
            torch.save(held, tmp_path / "wrong.pth")
            with pytest.raises(InvalidValueError, match=message):
                open_audio_model(f"audiomae:{tmp_path / 'wrong.pth'}")
