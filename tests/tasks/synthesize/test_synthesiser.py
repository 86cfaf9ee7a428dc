import math

import numpy as np
import pytest
import torch
from scipy import signal, stats

from core.errors import InvalidValueError
from tasks.synthesiser import build, control, draws
from tasks.synthesiser.frames import Frames
from tasks.synthesiser.low_pass import low_pass

NAMES = {"voice": 78, "voicefm": 130, "parametric": 340}
SHORT = {"duration_s": 0.25}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_parameters_and_both_maps(name):
    synthesiser = build(name)
    assert len(synthesiser) == NAMES[name] == len({one.name for one in synthesiser.parameters})
    u = torch.linspace(0.05, 1, 40, dtype=torch.float64)[:, None].expand(-1, len(synthesiser)).contiguous()
    human = synthesiser.to_human(u)
    assert torch.allclose(synthesiser.to_unit(human), u, atol=1e-9)
    for place, one in enumerate(synthesiser.parameters):
        for row in (0, 17, 39):
            d = 2 * float(u[row, place]) - 1
            if one.symmetric:
                expected = one.low + (one.high - one.low) / 2 * (math.copysign(abs(d) ** (1 / one.curve), d) + 1)
            else:
                expected = one.low + (one.high - one.low) * float(u[row, place]) ** (1 / one.curve)
            assert float(human[row, place]) == pytest.approx(expected, rel=1e-9, abs=1e-9), one
    ends = synthesiser.to_human(torch.tensor([[0.0], [1.0]]).expand(-1, len(synthesiser)))
    assert torch.allclose(ends, torch.tensor([[one.low for one in synthesiser.parameters], [one.high for one in synthesiser.parameters]]))


def test_draws_hang_on_their_seed_and_are_even_in_the_chosen_units():
    synthesiser = build("voice")
    u = synthesiser.draw(range(4000))
    assert u.dtype == torch.float32 and u.min() > 0 and u.max() < 1
    assert torch.equal(synthesiser.draw([7, 3999, 7])[:2], u[[7, 3999]])
    p = [stats.kstest(u[:, place].numpy(), "uniform").pvalue for place in range(0, 78, 7)]
    assert min(p) > 1e-4
    off_diagonal = np.corrcoef(u.numpy().T) - np.eye(78)
    assert np.abs(off_diagonal).max() < 6 / math.sqrt(4000)
    human = synthesiser.to_human(synthesiser.draw(range(4000), "human_uniform").double())
    for name, low, high in (("adsr_1.attack", 0, 2), ("lfo_2.frequency", 0, 20), ("vco_1.mod_depth", -96, 96)):
        place = [one.name for one in synthesiser.parameters].index(name)
        assert stats.kstest(human[:, place].numpy(), "uniform", args=(low, high - low)).pvalue > 1e-4, name
        assert stats.kstest(u[:, place].numpy() ** 4, "uniform").pvalue < 1e-9
    assert draws.as_tensor([-1, 2**64 - 1, 2**70 + 5]).tolist() == [-1, -1, 5]


def test_noise_is_white_even_and_of_its_own_seed():
    noise = draws.NoiseTable(16384, torch.device("cpu")).between_1_and_2(draws.as_tensor(range(32))) * 2 - 3
    assert stats.kstest(noise.flatten().numpy(), "uniform", args=(-1, 2)).pvalue > 1e-4
    rows = noise.double().numpy()
    assert np.abs(np.corrcoef(rows) - np.eye(32)).max() < 0.05
    spectrum = np.abs(np.fft.rfft(rows[0])) ** 2
    lags = np.fft.irfft(spectrum)[1:8000] / np.fft.irfft(spectrum)[0]
    assert np.abs(lags).max() < 0.05
    assert len({tuple(row[:4]) for row in rows}) == 32


@pytest.mark.parametrize(
    ("duration_s", "rate", "control_hz"), [(1.0, 16000, 480), (0.3, 44100, 441), (0.05, 8000, 100), (0.1, 48000, 48000)]
)
def test_frames_interpolate_like_numpy_and_keep_phases_exact(duration_s, rate, control_hz):
    frames = Frames(duration_s, rate, control_hz)
    assert frames.samples_count == round(duration_s * rate) and frames.points == math.ceil(duration_s * control_hz - 1e-9)
    rng = np.random.default_rng(0)
    points = np.zeros((2, frames.padded))
    points[:, : frames.points] = rng.random((2, frames.points))
    spread = frames.samples(frames.spread(torch.from_numpy(points))).numpy()
    at = np.linspace(0, frames.points - 1, frames.samples_count)
    expected = np.stack([np.interp(at, np.arange(frames.points), row[: frames.points]) for row in points])
    assert np.abs(spread - expected).max() < 1e-12
    for kind, near in ((torch.float64, 1e-9), (torch.float32, 2e-4)):
        rates = frames.spread(torch.from_numpy(points * 0.5).to(kind))
        exact = 0.3 + np.cumsum(frames.samples(rates).double().numpy(), axis=1)
        start, exact_sums = torch.full((2,), 0.3, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
        phase = frames.samples(frames.phase(rates, start, exact_sums)).double().numpy()
        apart = np.abs(phase - exact)
        assert np.minimum(apart % 1, 1 - apart % 1).max() < near
    audio = torch.from_numpy(rng.random((2, frames.samples_count)))
    assert torch.equal(frames.samples(frames.framed(audio)), audio)


def test_envelope_by_hand():
    settings = torch.tensor([[[0.1, 0.2, 0.5, 0.4, 1.0]]], dtype=torch.float64)  # attack, decay, sustain, release, alpha
    made = control.envelopes(settings, torch.tensor([[0.6]], dtype=torch.float64), 128, 100, 0.0)[0, 0].numpy()
    at = np.arange(128) / 100
    expected = np.interp(at, [0, 0.1, 0.3, 0.6, 1.0, 2.0], [0, 1, 0.5, 0.5, 0, 0])
    assert np.abs(made - expected).max() < 1e-12
    short = control.envelopes(settings, torch.tensor([[0.05]], dtype=torch.float64), 128, 100, 0.0)[0, 0].numpy()
    assert np.abs(short[:5] - np.arange(5) / 5).max() < 1e-12 and short[5:8].tolist() == pytest.approx([1, 0.975, 0.95])


@pytest.mark.parametrize("options", [{}, {"filtered": True, "transients": True}, {"events": 3}], ids=["plain", "more", "scene"])
def test_a_sound_never_depends_on_its_batch(options):
    synthesiser = build("voicefm", **SHORT, **options)
    seeds = range(21)
    u = synthesiser.draw(seeds)
    whole = synthesiser.render(u, seeds)
    assert whole.shape == (21, 4000) and whole.abs().max() <= 1
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    assert torch.equal(synthesiser.render(u[order], order), whole[order])
    for some in ([0], [20, 2, 5], list(range(18))):
        assert torch.equal(synthesiser.render(u[some], some), whole[some]), some
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert torch.equal(synthesiser.render(u, seeds), whole)
    finally:
        torch.set_num_threads(threads)
    assert not torch.equal(synthesiser.render(u, range(1, 22)), whole), "noise has the seed"
    assert synthesiser.render(u[:0], []).shape == (0, 4000)


def test_sounds_differ_in_loudness_and_none_clips():
    synthesiser = build("voice", **SHORT)
    sounds = synthesiser.render(synthesiser.draw(range(64)), range(64))
    peaks = sounds.abs().amax(1)
    assert peaks.max() <= 1 + 1e-6 and (peaks < 0.95).any() and (peaks > 0.999).sum() > 3
    assert synthesiser.tally.sounds == 64 and synthesiser.tally.silent == int((peaks < 1e-3).sum())


def test_noise_level_has_its_curve_and_faults_come_by_switch():
    level = next(one for one in build("voice").parameters if one.name == "mixer.noise")
    flat = next(one for one in build("voice", compat=["noise_level"]).parameters if one.name == "mixer.noise")
    assert level.curve == 0.025 and flat.curve == 1
    place, options = 77, dict(SHORT)
    assert build("voice").parameters[place] == level
    plain, faulty = build("voice", **options), build("voice", **options, compat=["synthax"])
    u = plain.draw([5]).expand(3, -1).clone()
    u[:, 75:77], u[:, place] = 0.0, 0.5  # nothing but noise, at half
    assert plain.render(u, range(3)).abs().max() < 1e-9
    loud = faulty.render(u, range(3))
    assert loud.abs().max() > 1e-3 and torch.equal(loud[0], loud[1]) and torch.equal(loud[0], loud[2]), "the same noise for all"
    own = build("voice", **options, compat=["noise_level"]).render(u, range(3))
    assert not torch.equal(own[0], own[1])


def test_no_numbers_are_silenced_and_counted():
    synthesiser = build("voice", **SHORT)
    u = synthesiser.draw(range(3))
    good = synthesiser.render(u, range(3))
    u[1, 0] = math.nan
    sounds = synthesiser.render(u, range(3))
    assert torch.equal(sounds[[0, 2]], good[[0, 2]]) and not sounds[1].any()
    assert synthesiser.tally.not_finite == 1 and synthesiser.tally.silent >= 1
    extremes = torch.stack([torch.zeros(78), torch.ones(78), torch.full((78,), 1e-6)])
    assert synthesiser.render(extremes, range(3)).isfinite().all() and synthesiser.tally.not_finite == 1


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_differences(name):
    synthesiser = build(name, duration_s=0.05, filtered=True, transients=True)
    u = (synthesiser.draw(range(2)).double() * 0.5 + 0.25).requires_grad_()
    weights = torch.linspace(-1, 1, 800, dtype=torch.float64)

    def total(values):
        # Levels low, so that nothing is scaled: a peak has a derivative on one side only.
        return (synthesiser.render(values, range(2)) * weights).sum(1)

    total(u).sum().backward()
    assert u.grad.isfinite().all() and (u.grad.abs() > 0).double().mean() > 0.5
    ends = (".tuning", "midi_f0", ".sustain", ".shape", "cutoff", "resonance", "transient.level", "mixer.noise")
    places = [place for place, one in enumerate(synthesiser.parameters) if one.name.endswith(ends)]
    for place in places:
        step = torch.zeros_like(u)
        step[:, place] = 1e-7
        with torch.no_grad():
            difference = (total(u + step) - total(u - step)) / 2e-7
        assert torch.allclose(u.grad[:, place], difference, rtol=1e-3, atol=1e-4), synthesiser.parameters[place].name
    u32 = synthesiser.draw(range(2)).requires_grad_()
    synthesiser.render(u32, range(2)).sum().backward()
    assert u32.grad.isfinite().all()


@pytest.mark.parametrize(("cutoff_hz", "quality"), [(300.0, 0.7), (1500.0, 4.0), (6000.0, 1.0)])
def test_filter_against_the_recursion(cutoff_hz, quality):
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 16000))
    k = 1 / quality
    b, a = signal.bilinear([1], [1, k, 1], fs=0.5 / np.tan(np.pi * cutoff_hz / 16000))
    expected = signal.lfilter(b, a, audio)
    made = low_pass(
        torch.from_numpy(audio), torch.full((2, 480), cutoff_hz, dtype=torch.float64), torch.full((2,), quality).double(), 16000
    )
    assert made.shape == audio.shape
    assert np.sqrt(np.mean((made.numpy() - expected) ** 2)) < 0.03 * np.sqrt(np.mean(expected**2))


def test_filter_follows_its_cutoff():
    audio = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 16000)))
    cutoff = torch.cat([torch.full((1, 240), 7000.0), torch.full((1, 240), 200.0)], dim=1).double()
    made = low_pass(audio, cutoff, torch.tensor([0.7]).double(), 16000)[0].numpy()
    high = signal.sosfilt(signal.butter(4, 3000, "high", fs=16000, output="sos"), made)
    assert np.std(high[10000:]) < 0.02 * np.std(high[:6000])


def test_transients_are_at_the_beginning_and_scenes_at_their_onsets():
    synthesiser = build("voice", transients=True)
    names = [one.name for one in synthesiser.parameters]
    u = synthesiser.draw([3])
    u[:, [i for i, name in enumerate(names) if name.startswith("mixer.")]] = 0.0
    u[:, names.index("transient.level")] = 0.8
    sound = synthesiser.render(u, [0])[0]
    assert sound[:200].abs().max() > 0.1 and sound[14000:].abs().max() < 1e-3
    u[:, names.index("transient.level")] = 0.0
    assert synthesiser.render(u, [0]).abs().max() < 1e-6

    scene = build("voice", events=2)
    assert len(scene) == 2 * 80
    names = [one.name for one in scene.parameters]
    u = scene.draw([0, 1, 2])
    for number, (onset, gain) in enumerate(((0.5, 1.0), (1.0, 0.0)), start=1):
        u[:, names.index(f"event_{number}.onset")], u[:, names.index(f"event_{number}.gain")] = onset, gain
    sounds = scene.render(u, range(3))
    inner = build("voice").render(u[:, 2:80], draws.derived(draws.as_tensor(range(3)), draws.EVENTS))
    assert not sounds[:, :6400].any() and torch.allclose(sounds[:, 6400:], inner[:, :9600], atol=1e-6)


def test_other_lengths_rates_and_oscillators():
    assert build("voice", 44100, 0.3, 441).render(torch.rand(2, 78), [0, 1]).shape == (2, 13230)
    made = build("parametric", oscillators={"sine": 1, "square_saw": 0, "fm_sine": 0, "fm_square_saw": 0}, **SHORT)
    assert len(made) == 2 + 15 + 8 + 3 * 2 + 3 + 2
    u = made.draw([4])
    names = [one.name for one in made.parameters]
    for name in ("vco_1.mod_depth", "vco_1.tuning"):
        u[:, names.index(name)] = 0.5  # unmodulated
    u[:, names.index("keyboard_1.midi_f0")], u[:, names.index("mixer.noise")] = 69 / 127, 0.0
    spectrum = np.abs(np.fft.rfft(made.render(u, [0])[0].numpy() * np.hanning(4000)))
    assert abs(int(spectrum.argmax()) * 4 - 440) <= 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "voce"}, "voice"), ({"compat": ["noise"]}, "noise_level"), ({"events": 0}, "events"),
        ({"control_rate_hz": 5}, "control_rate"),
        ({"oscillators": {"sine": 1}}, "parametric"),
        ({"name": "parametric", "oscillators": {"sin": 1}}, "sine"),
        ({"name": "parametric", "oscillators": {"sine": 0, "square_saw": 0, "fm_sine": 0, "fm_square_saw": 0}}, "at least one"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(change, said):
    with pytest.raises(InvalidValueError, match=said):
        build(**{"name": "voice", **change})


def test_wrong_shapes_are_refused():
    synthesiser = build("voice", **SHORT)
    for wrong in (torch.rand(2, 77), torch.rand(78), torch.rand(2, 78).half()):
        with pytest.raises(InvalidValueError, match="float32"):
            synthesiser.render(wrong, [0, 1])
    with pytest.raises(InvalidValueError, match="one seed per sound"):
        synthesiser.render(torch.rand(2, 78), [0])
    with pytest.raises(InvalidValueError, match="noise"):
        synthesiser.render(torch.rand(2, 78), [0, 1], torch.rand(2, 3999))
    with pytest.raises(InvalidValueError, match="unit_uniform"):
        synthesiser.draw([0], "uniform")
