import math

import numpy as np
import pytest
import torch
from scipy.signal import get_window
from torchaudio.transforms import MelSpectrogram

from core.errors import InvalidValueError
from tasks.contrastive.features import FRONT_ENDS, VGGish, at_level, front_end, statistics


def chirp(samples=16000):
    return (0.5 * torch.sin(torch.arange(samples, dtype=torch.float64) ** 1.5 * 0.002)).float()


def written_out(sound):
    """VGGish's features by their definition, frame by frame and band by band, in float64."""
    edges = np.linspace(*(1127 * math.log(1 + f / 700) for f in (125, 7500)), 66)
    weights = np.zeros((257, 64))
    for number in range(1, 257):
        place = 1127 * math.log(1 + number * 16000 / 512 / 700)
        for band in range(64):
            low, middle, high = edges[band : band + 3]
            weights[number, band] = max(0.0, min((place - low) / (middle - low), (high - place) / (high - middle)))
    frames = np.stack([sound[start : start + 400] * get_window("hann", 400) for start in range(0, 96 * 160, 160)])
    return np.log(np.abs(np.fft.rfft(frames, 512)) @ weights + 0.01)


def test_vggish_features_are_those_of_the_definition_and_of_the_published_code():
    sound = chirp()
    found = VGGish()(sound[None])
    assert found.shape == (1, 1, 96, 64) and found.dtype == torch.float32
    assert np.allclose(found[0, 0].numpy(), written_out(sound.double().numpy()), atol=2e-3)
    # The published vggish.py on the same sound.
    published = [[2.9537, -4.5107, -4.6048], [-4.4438, -3.6428, -4.6037], [-4.4653, 2.0472, -4.6033]]
    assert np.allclose(found[0, 0][[0, 47, 95]][:, [0, 20, 63]].numpy(), published, atol=2e-3)
    assert float(found.mean()) == pytest.approx(-3.560859, abs=1e-4)


def test_simple_features_honour_the_rate_and_have_a_channel_axis():
    for rate, frames in ((16000, 81), (8000, 41)):
        features = front_end("simple", rate)
        sound = chirp(rate)[None]
        found = features(sound)
        expected = torch.log(MelSpectrogram(rate)(sound) + 1e-6).transpose(1, 2)[:, None]
        assert found.shape == (1, 1, frames, 128) and torch.equal(found, expected)


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("samples", [0, 1, 300, 15599, 15600, 16000, 40000])
def test_sounds_of_any_length_give_one_stretch_of_features(name, samples):
    features = front_end(name)
    sounds = chirp(samples)[None]
    found = features(sounds)
    assert found.shape == (1, 1, *features.shape) and found.isfinite().all()
    assert torch.equal(found, features(torch.nn.functional.pad(sounds, (0, 20000))))


def test_stretches_cover_a_clip_and_keep_the_published_ones():
    features = VGGish()
    for samples, expected in ((100, [0]), (16000, [0]), (23279, [0]), (23280, [0, 7680]), (80000, [0, 15360, 30720, 46080, 61440])):
        sound = chirp(samples)
        found = features.stretches(sound)
        padded = torch.nn.functional.pad(sound, (0, max(0, 15600 - samples)))
        assert torch.equal(found, torch.stack([padded[start : start + 15600] for start in expected])), samples
    long = chirp(80000)
    levels = features.log_mel(long)
    for number in range(5):  # the published code cuts the frames of the whole clip into examples of 96
        assert torch.allclose(features(features.stretches(long))[number, 0], levels[96 * number : 96 * number + 96], atol=1e-5)
    assert len(features.stretches(long, 7680)) == 9


def test_another_rate_a_wrong_shape_and_a_wrong_name_are_refused():
    with pytest.raises(InvalidValueError, match="16000"):
        front_end("vggish", 44100)
    with pytest.raises(InvalidValueError, match=r"\[sounds, samples\]"):
        VGGish()(chirp())
    with pytest.raises(InvalidValueError, match="vggish"):
        front_end("mfcc")


def test_statistics_and_levels():
    levels = torch.randn(2, 30, 64, generator=torch.Generator().manual_seed(0))
    found = statistics(levels).numpy()
    assert np.allclose(found[:, :64], levels.numpy().mean(1), atol=1e-6) and np.allclose(
        found[:, 64:], levels.numpy().std(1, ddof=0), atol=1e-6
    )
    assert at_level(torch.tensor([0.1, -0.5]), "peak").tolist() == pytest.approx([0.2, -1.0])
    assert at_level(torch.zeros(3), "peak").tolist() == [0, 0, 0] and len(at_level(torch.zeros(0), "peak")) == 0
    assert at_level(torch.tensor([0.25]), "as_is").tolist() == [0.25]
