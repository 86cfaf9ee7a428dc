import math

import numpy as np
import pytest
import torch

from core.errors import InvalidValueError
from tasks.preset_encoders import encoder as encoders
from tasks.presets import library
from tasks.presets.layout import Layout
from tasks.sound_matching import recipes
from tasks.sound_matching.audio_distances import AudioDistances, compare
from tasks.sound_matching.decoding import exact, relaxed
from tasks.sound_matching.estimator import CHANNELS, Estimator, load, save
from tasks.sound_matching.losses import parameter_loss, proxy_loss, weights
from tasks.sound_matching.preset_scores import preset_scores
from tests.tasks.train_preset_encoder.sets import SMALL

LAYOUT = Layout(SMALL)
KINDS = {"num": [0, 2, 3], "bin": [1], "cat": [4, 5, 6, 7, 8, 9]}
"""Columns of the outputs: level, on, pitch, steps, then three waves and three modes."""


def outputs_of(rows=4, seed=0):
    return torch.randn(rows, LAYOUT.width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_parameter_loss_by_hand():
    outputs, presets = outputs_of(5), SMALL.sample(3, 0, 5).astype(np.float64)
    found = parameter_loss(outputs, torch.from_numpy(presets), LAYOUT, smoothing=0.1)
    o = outputs.numpy()
    sigmoid = 1 / (1 + np.exp(-o))
    # The small spec: level num, wave cat of 3, on bin, pitch num, mode cat of 4 without one, steps num of 5.
    numbers = np.mean([abs(sigmoid[:, 0] - presets[:, 0]), abs(sigmoid[:, 2] - presets[:, 3]), abs(sigmoid[:, 3] - presets[:, 5])])
    on = presets[:, 2]
    switches = -np.mean(on * np.log(sigmoid[:, 1]) + (1 - on) * np.log(1 - sigmoid[:, 1]))
    categories = 0.0
    for first, place in ((4, 1), (7, 4)):
        block = o[:, first : first + 3]
        logs = block - np.log(np.exp(block).sum(1, keepdims=True))
        wanted = np.full((5, 3), 0.1 / 3)
        wanted[np.arange(5), presets[:, place].astype(int)] += 0.9
        categories += -(wanted * logs).sum(1).mean()
    assert float(found.numbers) == pytest.approx(numbers) and float(found.switches) == pytest.approx(switches)
    assert float(found.categories) == pytest.approx(categories)
    assert float(found.total()) == pytest.approx(numbers + switches + 0.01 * categories)


def test_kinds_that_a_synthesiser_does_not_have_cost_nothing():
    layout = Layout(library.load_spec("builtin_voice"))
    presets = torch.from_numpy(layout.spec.sample(0, 0, 2))
    found = parameter_loss(torch.zeros(2, layout.width), presets, layout)
    assert float(found.switches) == float(found.categories) == 0 and float(found.numbers) == pytest.approx(
        float((presets - 0.5).abs().mean())
    )


@pytest.mark.parametrize(
    ("schedule", "audio_first", "by_share"),
    [
        ("parameters", False, {0: (1, 0), 1: (1, 0)}), ("audio", False, {0: (0, 1), 1: (0, 1)}),
        ("mix", False, {0: (1, 0), 1 / 3: (1, 0), 0.5: (0.75, 0.25), 2 / 3: (0.5, 0.5), 1: (0.5, 0.5)}),
        ("switch", False, {0.2: (1, 0), 0.5: (0.5, 0.5), 7 / 12: (0.25, 0.75), 2 / 3: (0, 1), 0.9: (0, 1)}),
        ("mix", True, {0: (0, 1), 0.5: (0.25, 0.75), 1: (0.5, 0.5)}), ("switch", True, {0: (0, 1), 0.5: (0.5, 0.5), 1: (1, 0)}),
    ],
)  # fmt: skip
def test_the_schedules(schedule, audio_first, by_share):
    for share, expected in by_share.items():
        assert weights(schedule, audio_first, share) == pytest.approx(expected), share


@pytest.mark.parametrize("model", ["mlp_oh", "tfm", "hn_ptgru"])
def test_the_proxys_loss_has_the_gradient_of_finite_differences_in_every_kind_of_parameter(model):
    torch.manual_seed(0)
    sizes = {"mlp_oh": {"hidden": 8}, "tfm": {"token": 8, "blocks": 1, "heads": 2}, "hn_ptgru": {"token": 8, "hidden": 8, "blocks": 1}}
    proxy = encoders.build(model, LAYOUT, 5, **sizes[model]).eval().requires_grad_(False)
    proxy.set_normalisation(torch.randn(5), torch.rand(5) + 0.5)
    for part in proxy.parameters():
        part.add_(0.3 * torch.randn_like(part))
    outputs = outputs_of(3).float()
    outputs.requires_grad_()
    embeddings = torch.randn(3, 5)
    loss = proxy_loss(outputs, embeddings, proxy, LAYOUT, "soft")
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert all((gradient[:, columns].abs().sum(1) > 1e-5).all() for columns in KINDS.values())
    double = proxy.double()
    body = double._features
    double._features = lambda represented: double.head(double.body(represented))  # without the rounding to float32
    try:
        for row, column in ((0, 0), (1, 1), (2, 5), (0, 9), (1, 3)):
            moved = [outputs.detach().double().clone() for _ in range(2)]
            moved[0][row, column] += 1e-5
            moved[1][row, column] -= 1e-5
            high, low = (float(proxy_loss(one, embeddings.double(), double, LAYOUT, "soft")) for one in moved)
            assert (high - low) / 2e-5 == pytest.approx(float(gradient[row, column]), rel=2e-2, abs=1e-5)
    finally:
        double._features = body


def test_decided_presets_reach_the_proxy_with_a_gradient_or_as_published_without_one():
    torch.manual_seed(0)
    proxy = encoders.build("mlp_oh", LAYOUT, 5, hidden=8).eval().requires_grad_(False)
    embeddings, gradients, losses = torch.randn(4, 5), {}, {}
    for how in ("soft", "straight_through", "hard"):
        outputs = outputs_of().float().requires_grad_()
        loss = proxy_loss(outputs, embeddings, proxy, LAYOUT, how)
        (gradients[how],) = torch.autograd.grad(loss, outputs)
        losses[how] = float(loss.detach())
    for kind in ("bin", "cat"):
        assert float(gradients["hard"][:, KINDS[kind]].abs().sum()) == 0 < float(gradients["straight_through"][:, KINDS[kind]].abs().sum())
    assert float(gradients["hard"][:, KINDS["num"]].abs().sum()) > 0
    assert losses["hard"] == pytest.approx(losses["straight_through"], rel=1e-5) and losses["soft"] != pytest.approx(losses["hard"])
    # A decided preset is what the proxy makes of the exact one, but for numbers, which are not yet at their steps.
    outputs = outputs_of().float()
    presets = torch.from_numpy(exact(outputs, LAYOUT))
    presets[:, [0, 3, 5]] = torch.sigmoid(outputs[:, [0, 2, 3]])
    assert torch.allclose(proxy.relaxed(relaxed(outputs, LAYOUT, "hard")), proxy(presets), atol=1e-6)


def test_outputs_that_mean_a_preset_give_that_preset():
    presets = SMALL.sample(1, 0, 50)
    outputs = torch.zeros(50, LAYOUT.width)
    for column, place in enumerate(LAYOUT.scalar):
        outputs[:, column] = torch.logit(torch.from_numpy(presets[:, place]), 1e-6)
    for first, place in ((4, 1), (7, 4)):
        outputs[np.arange(50), first + presets[:, place].astype(int)] = 3.0
    assert np.allclose(exact(outputs, LAYOUT), presets, atol=1e-5)
    SMALL.raw(exact(outputs_of(20), LAYOUT))  # whatever the outputs, the synthesiser can play it
    found = exact(torch.full((1, LAYOUT.width), -50.0), LAYOUT)
    assert found[0, 0] == pytest.approx(0, abs=1e-6) and found[0, 2] == 0


def spectra(sound, size, hop, window):
    """|STFT|² [frames, bins] in numpy: reflected ends, periodic Hann window in the middle of the transform."""
    padded = np.pad(sound.astype(np.float64), size // 2, mode="reflect")
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    whole = np.zeros(size)
    whole[(size - window) // 2 : (size - window) // 2 + window] = shape
    frames = [padded[at : at + size] * whole for at in range(0, len(padded) - size + 1, hop)]
    return np.abs(np.fft.rfft(frames)) ** 2


def by_hand(found, wanted):
    return np.linalg.norm(wanted - found) / np.linalg.norm(wanted) + np.abs(np.log(found) - np.log(wanted)).mean()


def kaldi_banks(rate_hz, bands, size):
    """Triangles on Kaldi's mel scale, 1127 ln(1 + f / 700), over the bins of a transform [bands, bins]; the last bin is 0."""

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    step = mel(rate_hz / 2) / (bands + 1)
    at = mel(np.arange(size // 2 + 1) * rate_hz / size)
    left = np.arange(bands)[:, None] * step
    found = np.maximum(0, np.minimum((at - left) / step, (left + 2 * step - at) / step))
    found[:, -1] = 0
    return found


def test_the_four_distances_against_numpy():
    rng = np.random.default_rng(0)
    sounds = (rng.normal(size=(2, 9000)) * np.linspace(1, 0.01, 9000) * 0.2).astype(np.float32)
    sounds[1, :3000] += np.sin(np.arange(3000) / 9).astype(np.float32)
    measured = AudioDistances(32000)(torch.from_numpy(sounds[:1]), torch.from_numpy(sounds[1:]))
    (found, wanted) = ({one: np.sqrt(np.maximum(spectra(sound, *one), 1e-8)) for one in
                        ((1024, 256, 1024), (1024, 120, 600), (2048, 240, 1200), (512, 50, 240))} for sound in sounds)  # fmt: skip
    stft = by_hand(found[1024, 256, 1024], wanted[1024, 256, 1024])
    mstft = np.mean([by_hand(found[one], wanted[one]) for one in list(found)[1:]])
    filters = AudioDistances(32000).filters.double().numpy()
    mel = by_hand(*(np.maximum(sound[1024, 256, 1024] @ filters, 1e-4) for sound in (found, wanted)))
    coefficients = []
    for sound in sounds.astype(np.float64):
        filtered = sound[1:] - 0.97 * sound[:-1]
        padded = np.pad(filtered, 512, mode="reflect")
        shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1023)
        power = np.abs(np.fft.rfft([padded[at : at + 1024] * shape for at in range(0, len(padded) - 1023, 512)])) ** 2
        levels = 10 * np.log10(np.maximum(power @ kaldi_banks(32000, 128, 1024).T, 1e-8))
        cosines = np.cos(np.pi / 128 * (np.arange(128) + 0.5) * np.arange(40)[:, None]) * math.sqrt(2 / 128)
        coefficients.append((levels @ cosines.T)[:, 1:])
    mfccd = 0.25 * np.abs(coefficients[0] - coefficients[1]).mean()
    for name, value in {"stft": stft, "mstft": mstft, "mel": mel, "mfccd": mfccd}.items():
        assert float(measured[name][0]) == pytest.approx(value, rel=2e-4), name
    assert float(measured["a_mean"][0]) == pytest.approx((stft + mstft + mel + mfccd) / 4, rel=2e-4)


def test_distances_hang_on_no_batch_and_are_zero_for_the_same_sound():
    rng = np.random.default_rng(1)
    sounds = [rng.normal(size=4000).astype(np.float32) * scale for scale in (0.1, 0.001, 0.0, 0.5, 0.2, 0.3, 0.1, 0.1, 0.4, 0.2)]
    others = sounds[1:] + sounds[:1]
    distances = AudioDistances(16000)
    together = compare(distances, [*others[:4], None, *others[5:]], sounds)
    assert together[4] is None
    for place in (0, 3, 9):
        assert compare(distances, [others[place]], [sounds[place]])[0] == pytest.approx(together[place], rel=1e-5)
    assert all(value == 0 for value in compare(distances, sounds[:1], sounds[:1])[0].values())
    assert all(math.isfinite(value) for one in together if one for value in one.values()), "silence too"
    with pytest.raises(InvalidValueError, match="cannot be compared"):
        distances(torch.zeros(1, 1000), torch.zeros(1, 1000))


def test_the_network_is_the_published_one():
    width = Layout(library.load_spec("dexed")).width
    network = Estimator(width)
    pairs = list(zip((1, *CHANNELS), CHANNELS, strict=False))
    expected = sum(a * b * (25 if a == 1 else 16) + b for a, b in pairs) + 2 * sum(CHANNELS[1:])  # convolutions, normalisations
    expected += 512 * 2048 + 2048 + 2048 * width + width + 2 * width
    assert sum(part.numel() for part in network.parameters()) == expected
    network.eval()
    with torch.no_grad():
        features = network.features(torch.zeros(2, 1, 128, 313))
        assert features.shape == (2, 2048, 2, 4) and network(torch.zeros(2, 128, 313)).shape == (2, 141)
        levels = torch.randn(2, 128, 40)
        network.set_normalisation(-3.0, 2.0)
        first = network(levels * 2 - 3)
        network.set_normalisation(0.0, 1.0)
        assert torch.allclose(first, network(levels), atol=1e-4)


def test_a_written_network_is_read_back(tmp_path):
    network = Estimator(LAYOUT.width, (4, 8), 16, 0.1)
    network.set_normalisation(-2.0, 3.0)
    for name in ("a", "b"):
        save(tmp_path / name / "model.pt", network, SMALL, {"backend": "builtin", "midi": {"notes": [60]}}, {"seed": 3})
    assert (tmp_path / "a/model.pt").read_bytes() == (tmp_path / "b/model.pt").read_bytes()
    found, layout, made, config = load(tmp_path / "a")
    levels = torch.randn(1, 128, 20)
    assert torch.equal(found(levels), network.eval()(levels)) and layout.spec.digest == SMALL.digest
    assert made["midi"] == {"notes": [60]} and config["seed"] == 3
    with pytest.raises(InvalidValueError, match="no trained sound matcher"):
        load(tmp_path)


def test_preset_scores_by_hand():
    wanted = np.array([[0.2, 1, 1, 0.5, 2, 0.25], [0.4, 0, 0, 1.0, 0, 0.5]], np.float32)
    found = np.array([[0.5, 1, 0, 0.5, 2, 0.25], [0.4, 2, 0, 0.4, 1, 0.75]], np.float32)
    told = preset_scores(found, wanted, LAYOUT)
    assert told["mae"] == pytest.approx([0.1, (0.6 + 0.25) / 3]) and list(told["switch_accuracy"]) == [0, 1]
    assert list(told["category_accuracy"]) == [1, 0]
    assert set(preset_scores(np.zeros((1, 76)), np.ones((1, 76)), Layout(library.load_spec("builtin_voice")))) == {"mae"}


def test_the_published_trainings():
    plan = recipes.plan("paper", "dexed", 22_116)
    assert (plan.batch, plan.epoch_steps, plan.steps, plan.learning_rate, plan.smoothing) == (64, 345, 207_000, 7e-3, 0.02)
    assert round(plan.warm_up_share * plan.steps) == 2_070 and plan.betas == (0.86, 0.98) and plan.weight_decay == 0.01
    diva = recipes.plan("paper", "diva", 7_721, epochs=10)
    assert (diva.learning_rate, diva.betas, diva.weight_decay, diva.smoothing, diva.epochs) == (3e-4, (0.91, 0.98), 0.3, 0.01, 10)
    looks = [done for done in range(345, plan.steps + 1, 345) if plan.looks_at(done)]
    assert len(looks) == 60 and looks[0] == 3450 and looks[-1] == plan.steps
    plateau = plan.plateau()
    for number in range(20):
        plateau.look(1.0, 100 * (number + 1))
    assert [plateau(step) for step in (0, 699, 700, 1300, 1900)] == [7e-3, 7e-3, 3.5e-3, 1.75e-3, 8.75e-4]
