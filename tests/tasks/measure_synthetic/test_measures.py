"""The formulas against independent computations and closed forms."""

import numpy as np
import pytest
import scipy.linalg
from scipy import stats

from core import audio, frechet
from tasks.measure_synthetic import diversity, mel

RATE = mel.RATE_HZ


def burst(seed, seconds=2.0):
    """A made clip: noise bursts of random colour at random times over a faint background."""
    rng = np.random.default_rng(seed)
    sound = 0.003 * rng.standard_normal(round(seconds * RATE))
    for _ in range(4):
        start, length = int(rng.integers(0, len(sound) - 4000)), int(rng.integers(1500, 4000))
        shaped = np.convolve(rng.standard_normal(length), rng.standard_normal(12), "same")
        sound[start : start + length] += 0.05 * shaped * np.hanning(length)
    return sound.astype(np.float32)


def prints(*sounds):
    return [mel.fingerprint(mel.log_mel(sound)) for sound in sounds]


def test_frechet_distance_is_the_formula_with_scipys_matrix_root():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((80, 6)) @ rng.standard_normal((6, 6)), 1.5 + rng.standard_normal((50, 6))
    one, two = np.cov(first.T), np.cov(second.T)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(one + two - 2 * np.real(scipy.linalg.sqrtm(one @ two)))
    assert frechet.distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert frechet.distance(second, first) == pytest.approx(expected, rel=1e-9)
    assert frechet.distance(first, first) == pytest.approx(0.0, abs=1e-9)


def test_frechet_distance_of_known_gaussians():
    """For axis-aligned Gaussians it is Σ (μ₁ − μ₂)² + Σ (σ₁ − σ₂)²."""
    base = np.random.default_rng(1).standard_normal((400, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T))).T  # exactly mean 0 and unit covariance
    first, second = base * [1.0, 2.0, 3.0], base * [2.0, 2.0, 1.0] + [0.0, 1.0, 2.0]
    assert frechet.distance(first, second) == pytest.approx(1 + 4 + 1 + 0 + 4, rel=1e-9)


def test_frechet_distance_of_fewer_clips_than_dimensions_is_finite_and_biased_upwards():
    rng = np.random.default_rng(2)
    real = rng.standard_normal((400, 24))
    few, many = rng.standard_normal((20, 24)), rng.standard_normal((400, 24))
    assert frechet.distance(few, real) > 5 * frechet.distance(many, real) > 0


def test_extrapolation_removes_most_of_the_bias_of_a_small_set():
    rng = np.random.default_rng(3)
    reference, clips = rng.standard_normal((4000, 8)), rng.standard_normal((60, 8))
    ids = [f"c{i}" for i in range(60)]
    limit = frechet.extrapolated(clips, ids, reference, 0)
    assert abs(limit) < 0.5 * frechet.distance(clips, reference)
    turned = frechet.extrapolated(clips[::-1], ids[::-1], reference, 0)
    assert turned == pytest.approx(limit, rel=1e-9), "the subsets hang on the ids, not on the order"
    assert frechet.extrapolated(clips[:15], ids[:15], reference, 0) is None


def test_vendi_score_of_known_sets():
    assert diversity.vendi(np.tile([[0.6, 0.8]], (7, 1))) == pytest.approx(1.0)
    assert diversity.vendi(np.eye(9)) == pytest.approx(9.0)
    assert diversity.vendi(np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]]) == pytest.approx(4.0), "copies add nothing"
    rng = np.random.default_rng(4)
    for shape in ((5, 20), (20, 5)):
        rows = rng.standard_normal(shape)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        values = scipy.linalg.eigvalsh(rows @ rows.T / len(rows))
        assert diversity.vendi(rows) == pytest.approx(np.exp(stats.entropy(np.maximum(values, 0))))
    assert diversity.vendi_at(np.eye(9), [str(i) for i in range(9)], 4, 0) == pytest.approx(4.0)
    assert diversity.vendi_at(np.eye(3), ["a", "b", "c"], 4, 0) is None


def test_pairwise_distance_and_closeness_against_loops():
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((6, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [1 - rows[i] @ rows[j] for i in range(6) for j in range(6) if i != j]
    assert diversity.pairwise_distance(rows) == pytest.approx(np.mean(pairs)) and diversity.pairwise_distance(rows[:1]) is None
    first, second = rng.integers(0, 5, 30), rng.integers(0, 5, 20)
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in first for b in second])
    assert diversity.closeness(first, second) == pytest.approx(expected) and diversity.closeness([], [1.0]) is None
    assert diversity.closeness(first, second) == pytest.approx(stats.mannwhitneyu(first, second).statistic / 600)


def test_match_is_the_correlation_of_the_overlap_at_every_shift():
    """Against a loop over shifts with numpy's own correlation of the parts, each band without its mean."""
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((3, 4, 50)), rng.standard_normal((2, 4, 25))
    second[1] = first[2][:, 20:45] * 3 + 1
    found = mel.match(list(first), list(second), 0.4)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            best = (-2.0, 0)
            for lag in range(10 - 25, 50 - 10 + 1):
                begin, end = max(0, lag), min(50, lag + 25)
                one, two = a[:, begin:end], b[:, begin - lag : end - lag]
                one, two = one - one.mean(1, keepdims=True), two - two.mean(1, keepdims=True)
                best = max(best, ((one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum()), lag))
            assert (found.correlation[i, j], found.lag[i, j]) == (pytest.approx(best[0], abs=1e-4), best[1])
    assert found.lag[2, 1] == 20 and found.correlation[2, 1] == pytest.approx(1.0, abs=1e-4)


def copies(sound):
    """Copies of a clip: exact, louder, shifted with silence, rolled, cut out, under noise at 20 dB, through a lower sample rate."""
    silence, noise = np.zeros(5077, np.float32), np.random.default_rng(9).standard_normal(len(sound))
    faint = (noise * np.sqrt(np.mean(sound**2)) / 10).astype(np.float32)
    lower = audio.resample(audio.resample(sound, RATE, 11025), 11025, RATE)
    return {
        "exact": sound, "gain": 0.2 * sound, "shifted": np.concatenate([silence, sound[:-5077]]), "rolled": np.roll(sound, 9001),
        "cut": sound[6001:26000], "noise": sound + faint, "resampled": lower,
    }  # fmt: skip


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_copies_are_found_whatever_their_gain_and_shift_and_other_clips_are_not(seed):
    sound = burst(seed)
    for name, copy in copies(sound).items():
        found = mel.match(prints(copy), prints(sound))
        waveform = mel.waveform_match(mel.low_passed(copy), mel.low_passed(sound), int(found.lag[0, 0]))
        assert found.correlation[0, 0] >= 0.9 or waveform >= 0.8, name
        assert waveform > 0.9, name
        if name in ("exact", "gain", "shifted", "rolled"):
            assert found.correlation[0, 0] >= 0.9, name
    others = [burst(seed + 100 + i) for i in range(8)]
    found = mel.match(prints(sound), prints(*others))
    assert found.correlation.max() < 0.8
    assert (
        max(
            mel.waveform_match(mel.low_passed(sound), mel.low_passed(other), int(lag))
            for other, lag in zip(others, found.lag[0], strict=True)
        )
        < 0.8
    )


def test_steady_and_silent_clips_match_nothing_by_accident():
    rain = [np.random.default_rng(i).standard_normal(2 * RATE).astype(np.float32) * 0.1 for i in range(4)]
    tone = [0.1 * np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE + i).astype(np.float32) for i in range(2)]
    found = mel.match(prints(*rain), prints(*rain)).correlation
    assert found[~np.eye(4, dtype=bool)].max() < 0.5 and np.diag(found).min() > 0.999
    still = mel.match(prints(np.zeros(RATE, np.float32)), prints(*rain, *tone)).correlation
    assert (still == -1).all(), "silence changes nowhere, so it is nobody's copy"
    assert mel.match(prints(rain[0][:300]), prints(rain[1])).correlation.shape == (1, 1), "shorter than a window"


def test_log_mel_has_a_tone_in_its_band():
    levels = mel.log_mel(np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32))
    centre = mel.filters()[levels.mean(axis=1).argmax()].argmax() * RATE / mel.WINDOW
    assert abs(centre - 1000) < 100 and levels.shape == (mel.BANDS, 1 + (RATE - mel.WINDOW) // mel.HOP)
    assert mel.statistics(levels).shape == (2 * mel.BANDS,)
