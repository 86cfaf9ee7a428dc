import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from core import keys
from core.errors import InvalidValueError
from tasks.audio_models.opening import WITH_WEIGHTS, open_audio_model
from tasks.audio_models.openl3 import POOLS, OpenL3, OpenL3Frames, Spectrogram, frames_of
from tests.tasks.audio_models.random_weights import noise, randomised


def bands():
    """HTK's mel bands up to 24,000 Hz, each divided by half its width in Hz (librosa before 0.8)."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24000 / 700), 258) / 2595) - 1)
    hertz = np.linspace(0, 24000, 1025)
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def published(pool):
    """A network as a file has it, the Fourier transform and the bands included."""
    network = randomised(OpenL3(pool), spread=0.05)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(1025), np.arange(2048)) / 2048) * window
    for name, values in (("dft_real_kernels", turns.real[:, None]), ("dft_imag_kernels", turns.imag[:, None]), ("mel_basis", bands())):
        network.speclayer.get_buffer(name).copy_(torch.from_numpy(values))
    return network


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("openl3") / "torchopenl3_mel256_music_6144.pth.tar"
    torch.save(published((8, 8)).state_dict(), path)
    return path


def levels_by_hand(frame):
    """Decibels [256, 199] of a frame, by NumPy's own Fourier transform."""
    padded = np.pad(frame.astype(np.float64), 982)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    power = np.stack([np.abs(np.fft.rfft(padded[at : at + 2048] * window)) ** 2 for at in range(0, len(padded) - 2047, 242)], 1)
    levels = 10 * np.log10(np.maximum(np.sqrt(bands() @ power), 1e-10))
    return np.maximum(levels - levels.max(), -80)


def test_the_network_has_the_published_form():
    with torch.device("meta"):
        models = {name: OpenL3Frames(name) for name in POOLS}
    assert {name: model.dimensions for name, model in models.items()} == {"openl3_mel256_512": 512, "openl3_mel256_6144": 6144}
    assert set(POOLS) <= set(WITH_WEIGHTS)
    model = models["openl3_mel256_6144"]
    # 4.7 million in the literature; 4,687,042 in torchopenl3 1.0.1.
    assert sum(part.numel() for part in model.network.parameters()) == 4_687_042
    assert (model.sample_rate_hz, model.includes_mel) == (48000, False)
    shapes = {name: tuple(part.shape) for name, part in model.network.state_dict().items()}
    assert {
        "speclayer.dft_real_kernels": (1025, 1, 2048), "speclayer.dft_imag_kernels": (1025, 1, 2048), "speclayer.mel_basis": (256, 1025),
        "batch_normalization_1.running_var": (1,), "conv2d_1.weight": (64, 1, 3, 3), "conv2d_7.bias": (512,),
        "batch_normalization_8.num_batches_tracked": (), "audio_embedding_layer.weight": (512, 512, 3, 3),
    }.items() <= shapes.items() and len(shapes) == 3 + 8 * 5 + 8 * 2  # fmt: skip


def test_frames_are_a_second_every_half_with_the_first_centred():
    sound = noise(1, 70000)[0]
    cut = frames_of(sound[None])
    assert cut.shape == (1, 3, 48000)  # 24,000 of silence and 70,000: one frame, and 46,000 more
    assert not cut[0, 0, :24000].any() and torch.equal(cut[0, 0, 24000:], sound[:24000]) and torch.equal(cut[0, 1], sound[:48000])
    assert torch.equal(cut[0, 2, :46000], sound[24000:]) and not cut[0, 2, 46000:].any()
    lengths = {1: 1, 24000: 1, 24001: 2, 48000: 2, 48001: 3, 240000: 10, 720000: 30}
    assert {length: frames_of(torch.zeros(1, length)).shape[1] for length in lengths} == lengths
    assert all(count == 1 + max(0, math.ceil((length - 24000) / 24000)) for length, count in lengths.items())


@torch.no_grad()
def test_the_front_end_against_numpy():
    front_end = published((8, 8)).speclayer
    frame = noise(1, 48000)[0] * torch.linspace(1, 0, 48000) ** 2
    found = front_end(torch.stack([frame, frame / 10, torch.zeros(48000)]))
    assert found.shape == (3, 256, 199) and np.allclose(found[0].numpy(), levels_by_hand(frame.numpy()), atol=2e-3)
    assert torch.allclose(found[0], found[1], atol=1e-3)  # below the loudest: how loud a frame is plays no part
    assert not found[2].any() and float(found[0].max()) == 0.0
    quiet = torch.cat([frame[:24000], torch.zeros(24000)])
    assert float(front_end(quiet[None]).min()) == -80.0 == levels_by_hand(quiet.numpy()).min()
    assert not Spectrogram().mel_basis.any()  # nothing without the file


def network_by_hand(state, levels, pool):
    """The embedding of levels [256, 199], batch normalisations written out."""
    x = torch.from_numpy(levels).float()[None, None]
    for place in range(1, 9):
        mean, variance, scale, shift = (
            state[f"batch_normalization_{place}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / torch.sqrt(variance + 0.001) * scale + shift
        x = x if place == 1 else x.clamp(min=0)
        x = functional.max_pool2d(x, 2) if place in (3, 5, 7) else x
        name = "audio_embedding_layer" if place == 8 else f"conv2d_{place}"
        x = functional.conv2d(functional.pad(x, (1, 1, 1, 1)), state[f"{name}.weight"], state[f"{name}.bias"])
    assert x.shape == (1, 512, 32, 24)
    rows, columns = 32 // pool[0], 24 // pool[1]
    return torch.cat([
        x[0, :, row * pool[0] : (row + 1) * pool[0], column * pool[1] : (column + 1) * pool[1]].amax((1, 2))
        for row in range(rows) for column in range(columns)
    ])  # fmt: skip


@torch.no_grad()
def test_moments_by_hand(saved):
    model, state = open_audio_model(f"openl3_mel256_6144:{saved}", reduction="none"), torch.load(saved, weights_only=True)
    sounds = noise(2, 48000) * torch.linspace(1, 0, 48000)
    found = model(sounds)
    assert found.shape == (2, 2, 6144) and not found.requires_grad
    first = np.concatenate([np.zeros(24000, np.float32), sounds[1, :24000].numpy()])
    for moment, frame in ((0, first), (1, sounds[1].numpy())):
        expected = network_by_hand(state, levels_by_hand(frame), (8, 8))
        assert torch.allclose(found[1, moment], expected, atol=1e-3 * float(expected.abs().max()))
    assert expected.std() > 0.01
    # A vector hangs on its sound alone; both files have the same network, and keep the maxima of finer or coarser fields.
    assert torch.equal(found[1:], model(sounds[1:]))
    coarse = open_audio_model(f"openl3_mel256_512:{saved}", reduction="max")
    assert torch.allclose(coarse(sounds), found.unflatten(2, (12, 512)).amax((1, 2)))
    assert coarse.identity == f"openl3_mel256_512:{keys.file_digest(saved)[:16]}/max"


def test_weights_are_loaded_strictly(saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    wrong = [
        {name: part for name, part in state.items() if "speclayer" not in name}, {**state, "more": torch.zeros(1)}, {},
        {**state, "speclayer.mel_basis": torch.zeros(128, 1025)},  # mel128
        {name: part for name, part in state.items() if name != "conv2d_4.bias"},
    ]  # fmt: skip
    for held in wrong:
        torch.save(held, tmp_path / "wrong.pth.tar")
        with pytest.raises(InvalidValueError, match="another network"):
            open_audio_model(f"openl3_mel256_512:{tmp_path / 'wrong.pth.tar'}")
