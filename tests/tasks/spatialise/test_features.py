import math
import random

import numpy as np
import pytest
import torch
from torchaudio.functional import resample

from core.errors import InvalidValueError
from tasks.spatial import foa as plain
from tasks.spatial.loudness import k_weighting
from tasks.spatial.words import Descriptors, caption, describe
from tasks.spatial_features import levels
from tasks.spatial_features.frames import BlockResample, spectra
from tasks.spatial_features.intensity import Intensity
from tasks.spatial_features.levels import Level
from tasks.spatial_features.log_mel import ClapMel
from tasks.spatial_features.rotation import matrices, mirrors, rotate, rotate_directions


def noise(samples, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(samples).astype(np.float32))


def placed(sound, azimuth_deg, elevation_deg=0.0):
    """A plane wave as AmbiX: W, Y, Z, X = 1, sin az cos el, sin el, cos az cos el."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    up = math.cos(elevation)
    return torch.stack([sound, sound * math.sin(azimuth) * up, sound * math.sin(elevation), sound * math.cos(azimuth) * up])


def by_hand(foa, energy=False):
    """Spectra by numpy, frame by frame, in float64."""
    window = np.hanning(401)[:-1]
    sound = np.pad(foa.double().numpy(), ((0, 0), (200, 200)), mode="reflect")
    frames = 1 + foa.shape[-1] // 100
    spectra = np.stack([np.fft.rfft(sound[:, 100 * t : 100 * t + 400] * window) for t in range(frames)], -1)
    product = np.conj(spectra[0]) * spectra[1:]
    scale = np.linalg.norm(product.real, axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    if energy:
        scale = 1e-8 + np.abs(spectra[0]) ** 2 + (np.abs(spectra[1:]) ** 2).sum(0) / 3
    return product.real / scale, product.imag / scale


@pytest.mark.parametrize("norm", ["active", "energy"])
def test_intensity_is_the_formula(norm):
    foa = noise((4, 1600), 1)
    foa[:, 800:] *= 1e-4  # quiet enough for the floor
    active, reactive = Intensity(16_000, norm)(foa)
    expected = by_hand(foa, norm == "energy")
    assert active.shape == reactive.shape == (3, 201, 17)
    for found, wanted in zip((active, reactive), expected, strict=True):
        close = np.abs(found.numpy() - wanted) <= 1e-3 * (1 + np.abs(wanted))
        assert close.mean() > 0.999, "all but bins that cancel"
    if norm == "energy":
        assert max(active.abs().max(), reactive.abs().max()) <= math.sqrt(3) / 2 + 1e-5


def test_shapes_of_ten_seconds_and_leading_axes():
    foa = torch.stack([placed(noise(480_000), 30.0)])
    active, reactive = Intensity()(foa)
    assert active.shape == reactive.shape == (1, 3, 201, 1601)
    one, _ = Intensity(16_000)(noise((2, 5, 4, 800)))
    assert one.shape == (2, 5, 3, 201, 9)
    with pytest.raises(InvalidValueError, match="FOA"):
        Intensity()(noise((3, 800)))


@pytest.mark.parametrize(("azimuth", "elevation"), [(90, 0), (-90, 0), (0, 0), (180, 0), (37, -20), (-120, 60)])
def test_the_active_vector_points_at_the_source_and_nothing_swings(azimuth, elevation):
    active, reactive = Intensity(48_000)(placed(noise(24_000), azimuth, elevation))
    direction = [
        math.sin(math.radians(azimuth)) * math.cos(math.radians(elevation)), math.sin(math.radians(elevation)),
        math.cos(math.radians(azimuth)) * math.cos(math.radians(elevation)),
    ]  # fmt: skip
    found = active[:, 2:190, 2:-2].mean((1, 2))
    assert torch.allclose(found, torch.tensor(direction), atol=1e-3) and reactive[:, 2:190].abs().max() < 1e-2


def test_left_in_words_is_positive_y_in_sound():
    for azimuth, word, sign in ((90.0, "left", 1), (-90.0, "right", -1)):
        row = {"azimuth_deg": azimuth, "elevation_deg": 0.0, "source_distance_m": 1.5, "area_m2": 20.0, "fullband_T30_ms": 500.0}
        assert describe(row) == Descriptors(direction=word, size="small") and word in caption("rain", row, random.Random(0))
        active, _ = Intensity(16_000)(placed(noise(4000), azimuth))
        assert sign * active[0].mean() > 0.9


def test_options_bound_gather_and_forget_the_level():
    foa = noise((4, 4000), 5)
    _, free = Intensity(16_000)(foa)
    _, bounded = Intensity(16_000, clip=2.0)(foa)
    lengths = torch.linalg.vector_norm(free, dim=0)
    assert lengths.max() > 5 and torch.linalg.vector_norm(bounded, dim=0).max() <= 2.0 + 1e-4
    assert torch.allclose(bounded[:, lengths < 2], free[:, lengths < 2])
    assert Intensity(16_000, mels=64)(foa)[0].shape == (3, 64, 41)
    relative = Intensity(16_000, relative_floor=1e-8)
    assert torch.allclose(relative(foa)[0], relative(foa * 1e-4)[0], atol=1e-3)
    assert (Intensity(16_000)(foa * 1e-4)[0] - Intensity(16_000)(foa)[0]).abs().max() > 0.5, "the fixed floor hangs on the level"
    with pytest.raises(InvalidValueError, match="norm"):
        Intensity(norm="loud")


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 16_000), (44_100, 16_000), (8000, 16_000), (32_000, 24_000), (16_000, 16_000)])
def test_resampling_is_torchaudios(from_hz, to_hz):
    for samples in (5, 1000, 4801):
        sounds = noise((2, 3, samples))
        found, wanted = BlockResample(from_hz, to_hz)(sounds), resample(sounds, from_hz, to_hz)
        assert found.shape == wanted.shape and torch.allclose(found, wanted, atol=5e-5)


def test_spectra_are_torchs_stft():
    sounds, window = noise((2, 3, 1701)), torch.hann_window(400)
    wanted = torch.stft(sounds.reshape(6, -1), 400, 100, window=window, center=True, return_complex=True)
    assert torch.allclose(spectra(sounds, window, 100).flatten(0, 1), wanted.transpose(1, 2), atol=1e-4)


def test_features_hang_on_no_neighbour_and_have_slopes():
    foa = noise((3, 4, 4000), 6).requires_grad_()
    together, alone = Intensity(48_000)(foa), Intensity(48_000)(foa[1])
    assert torch.equal(together[0][1], alone[0]) and torch.equal(together[1][1], alone[1])
    (together[0].sum() + together[1].sum()).backward()
    assert foa.grad.abs().min(-1).values.isfinite().all() and foa.grad.abs().max() > 0


def test_the_log_mel_is_claps_own(monkeypatch):
    from transformers import ClapFeatureExtractor

    sound = noise(480_000) * torch.linspace(0.001, 0.3, 480_000)
    for truncation in ("fusion", "rand_trunc"):
        theirs = ClapFeatureExtractor(truncation=truncation, padding="repeatpad", frequency_min=50, frequency_max=14_000)
        wanted = theirs(sound.numpy(), sampling_rate=48_000, return_tensors="np")["input_features"][0]
        found = ClapMel(truncation)(sound[None])
        assert found.shape == (1, 1, 1001, 64)
        assert np.abs(found[0, 0].numpy() - wanted[0]).max() < 1e-2


def test_turning_sound_and_labels_agree():
    generator = np.random.default_rng(2)
    azimuth, elevation = generator.uniform(-180, 180, 6), generator.uniform(-80, 80, 6)
    sound = noise(64)
    foa = torch.stack([placed(sound, a, e) for a, e in zip(azimuth, elevation, strict=True)])
    turns = matrices(*(torch.from_numpy(generator.uniform(-180, 180, 6)) for _ in range(3)))
    new_azimuth, new_elevation = rotate_directions(torch.from_numpy(azimuth), torch.from_numpy(elevation), turns)
    expected = torch.stack([placed(sound, a, e) for a, e in zip(new_azimuth.tolist(), new_elevation.tolist(), strict=True)])
    assert torch.allclose(rotate(foa, turns), expected, atol=1e-5)
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(6, 3, 3), atol=1e-9)


def test_the_batch_turns_as_the_room_without_torch_does():
    angles = np.random.default_rng(4).uniform(-180, 180, (5, 3))
    turns = matrices(*torch.from_numpy(angles).T)
    sounds = noise((5, 4, 32))
    for place, (yaw, pitch, roll) in enumerate(angles):
        matrix = plain.rotation(yaw, pitch, roll)
        assert np.allclose(turns[place], matrix, atol=1e-12)
        assert np.allclose(rotate(sounds, turns)[place], plain.rotate(sounds[place].numpy(), matrix), atol=1e-5)
        assert np.allclose(torch.stack(rotate_directions(*torch.tensor([[40.0], [-30.0]]), turns[place : place + 1]))[:, 0],
                           plain.rotate_label(40.0, -30.0, matrix), atol=1e-4)  # fmt: skip


def test_yaw_turns_left_and_mirrors_swap_sides():
    azimuth, elevation = torch.tensor([10.0, 170.0]), torch.tensor([5.0, -5.0])
    turned = rotate_directions(azimuth, elevation, matrices(torch.tensor([30.0, 30.0])))
    assert torch.allclose(turned[0], torch.tensor([40.0, -160.0]), atol=1e-4) and torch.allclose(turned[1], elevation, atol=1e-4)
    flips = mirrors(torch.tensor([True, False]))
    swapped = rotate_directions(azimuth, elevation, flips)
    assert torch.allclose(swapped[0], torch.tensor([-10.0, 170.0]), atol=1e-4)
    foa = torch.stack([placed(noise(8), 60.0), placed(noise(8), 60.0)])
    assert torch.allclose(rotate(foa, flips)[0], placed(noise(8), -60.0), atol=1e-6) and torch.allclose(rotate(foa, flips)[1], foa[1])
    pitched = rotate_directions(torch.tensor([0.0]), torch.tensor([0.0]), matrices(torch.zeros(1), torch.tensor([30.0])))
    assert pitched[1].item() == pytest.approx(30.0, abs=1e-4)
    rolled = rotate_directions(torch.tensor([90.0]), torch.tensor([0.0]), matrices(torch.zeros(1), None, torch.tensor([30.0])))
    assert rolled[1].item() == pytest.approx(30.0, abs=1e-4)


def test_loudness_of_the_standards_sine():
    """BS.1770: a full-scale sine at 997 Hz in one channel reads −3.01 LKFS."""
    sine = torch.sin(2 * math.pi * 997 * torch.arange(3 * 48_000) / 48_000)
    assert levels.loudness(sine, 48_000).item() == pytest.approx(-3.01, abs=0.01)
    assert levels.loudness(torch.sin(2 * math.pi * 997 * torch.arange(48_000) / 16_000), 16_000).item() == pytest.approx(-3.01, abs=0.05)
    quiet = torch.cat([sine, 1e-4 * sine, torch.zeros_like(sine)])
    assert levels.loudness(quiet, 48_000).item() == pytest.approx(-3.01 + 10 * math.log10(28.5 / 30), abs=0.02), "27 loud blocks, 3 in part"
    assert levels.loudness(torch.zeros(2, 4800), 48_000).tolist() == [-70.0, -70.0]


def test_the_weighting_filters_are_the_standards_table():
    wanted = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    assert np.abs(k_weighting(48_000) - wanted).max() < 1e-6


def test_policies_reach_their_level_and_tell_their_gain():
    foa = torch.stack([placed(0.05 * noise(48_000), 20.0), 3.0 * placed(noise(48_000), 20.0), torch.zeros(4, 48_000)])
    names = ["a", "b", "c"]
    raw, told = levels.apply(foa, Level(), 48_000, names)
    assert torch.equal(raw, foa) and [one["gain_db"] for one in told] == [0.0, 0.0, 0.0]
    peak, told = levels.apply(foa, Level("peak"), 48_000, names)
    assert told[0]["gain_db"] == 0.0 and torch.equal(peak[0], foa[0]) and peak[1].abs().max() == pytest.approx(0.98, abs=1e-4)
    for policy in ("rms", "lufs"):
        scaled, told = levels.apply(foa, Level(policy, -30.0), 48_000, names)
        for place in (0, 1):
            assert torch.allclose(scaled[place], foa[place] * 10 ** (told[place]["gain_db"] / 20), atol=1e-6)
            reached = 20 * torch.log10(levels.rms(scaled[place, 0])) if policy == "rms" else levels.loudness(scaled[place, 0], 48_000)
            assert reached.item() == pytest.approx(-30.0, abs=0.1)
        assert told[2]["gain_db"] == 0.0 and torch.equal(scaled[2], foa[2])
    loud, _ = levels.apply(foa[1:2], Level("rms", 0.0), 48_000, ["b"])
    assert loud.abs().max() <= 0.9801
    with pytest.raises(InvalidValueError, match="policy"):
        levels.apply(foa, Level("louder"), 48_000, names)


def test_noise_is_diffuse_at_its_ratio_and_hangs_on_the_name_alone():
    foa = torch.stack([placed(noise(48_000), 20.0), placed(noise(48_000, 4), -70.0)])
    level = Level(snr_db=(5.0, 15.0), seed=3)
    heard, told = levels.apply(foa, level, 48_000, ["x", "y"])
    for place in (0, 1):
        added = heard[place] - foa[place]
        measured = 20 * torch.log10(levels.rms(foa[place, 0]) / levels.rms(added[0]))
        assert 5 <= told[place]["snr_db"] <= 15 and measured.item() == pytest.approx(told[place]["snr_db"], abs=0.05)
        assert torch.allclose(added.square().mean(-1)[1:] / added[0].square().mean(), torch.full((3,), 1 / 3), atol=0.02)
    swapped, _ = levels.apply(foa.flip(0), level, 48_000, ["y", "x"])
    assert torch.equal(swapped.flip(0), heard)
    assert told[0]["snr_db"] != told[1]["snr_db"]
    other, _ = levels.apply(foa, Level(snr_db=(5.0, 15.0), seed=4), 48_000, ["x", "y"])
    assert not torch.equal(other, heard)
