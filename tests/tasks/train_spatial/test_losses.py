import math

import numpy as np
import pytest
import torch

from tasks.spatial_model.attributes import ANGLES, BANDS_HZ, NAMES, attribute_loss, band_measures
from tasks.spatial_model.losses import Weighting, contrast, direction_loss, physical_loss, top_one, unit_vectors
from tasks.train_spatial.gradient_cache import cached_backward
from tasks.train_spatial.lamb import Lamb


def brute_force(text, audio, labels, scale, exclude):
    """The loss written out, item by item."""
    text, audio = (np.asarray(part, float) / np.linalg.norm(part, axis=1, keepdims=True) for part in (text, audio))
    ways = []
    for one, other in ((text, audio), (audio, text)):
        losses = []
        for i in range(len(labels)):
            columns = [j for j in range(len(labels)) if not (exclude and i == j)]
            positives = [j for j in columns if labels[i] == labels[j]]
            if positives:
                below = math.log(sum(math.exp(scale * one[i] @ other[j]) for j in columns))
                losses.append(-sum(scale * one[i] @ other[p] - below for p in positives) / len(positives))
        ways.append(sum(losses) / len(losses) if losses else 0.0)
    return sum(ways) / 2


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 5, 6]])
def test_contrast_against_brute_force(labels, exclude):
    torch.manual_seed(3)
    text, audio = torch.randn(6, 4), torch.randn(6, 4) * 3
    found = contrast(text, audio, torch.tensor(labels), torch.tensor(7.0), exclude)
    assert float(found) == pytest.approx(brute_force(text.numpy(), audio.numpy(), labels, 7.0, exclude), rel=1e-5)


def test_contrast_without_any_positive_is_zero_and_differentiable():
    vectors = torch.randn(4, 3, requires_grad=True)
    loss = contrast(vectors, vectors, torch.arange(4), torch.tensor(10.0), True)
    loss.backward()
    assert float(loss.detach()) == 0 and torch.equal(vectors.grad, torch.zeros(4, 3))
    single = torch.randn(1, 3, requires_grad=True)
    loss = contrast(single, single, torch.zeros(1), torch.tensor(10.0), True)
    loss.backward()
    assert float(loss.detach()) == 0 and bool(single.grad.isfinite().all())


def test_contrast_is_in_float32_under_autocast():
    vectors = torch.randn(4, 8)
    plain = contrast(vectors, vectors.flip(1), torch.tensor([0, 0, 1, 1]), torch.tensor(14.0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain, contrast(vectors, vectors.flip(1), torch.tensor([0, 0, 1, 1]), torch.tensor(14.0)))


def test_raw_angles_are_blind_to_length_and_wrong_behind():
    blind = direction_loss(torch.tensor([[0.1, 0.05]]), torch.tensor([[1.0, 0.5]]))
    behind = torch.tensor([[math.pi - 0.01, 0.0]]), torch.tensor([[-math.pi + 0.01, 0.0]])
    assert float(blind) == pytest.approx(-1, abs=1e-6) and float(direction_loss(*behind)) == pytest.approx(1, abs=1e-6)
    assert float(direction_loss(unit_vectors(behind[0]), behind[1])) == pytest.approx(-math.cos(0.02), abs=1e-6)


def test_unit_vectors_point_front_left_and_up():
    found = unit_vectors(torch.tensor([[0.0, 0.0], [math.pi / 2, 0.0], [0.3, math.pi / 2]]))
    assert torch.allclose(found, torch.eye(3), atol=1e-6)


def test_physical_loss_leaves_unknown_quantities_out():
    angles, targets = torch.zeros(2, 2), torch.tensor([[1.0, 2.0, math.nan], [0.0, 0.0, 3.0]])
    quantities = torch.tensor([[2.0, 2.0, 9.0], [0.0, 1.0, 1.0]], requires_grad=True)
    loss = physical_loss(torch.tensor([[2.0, 0, 0], [1.0, 0, 0]]), quantities, angles, targets)
    assert float(loss.detach()) == pytest.approx(-1 + 0.5 + 0.5 + 4)
    loss.backward()
    assert bool(quantities.grad.isfinite().all()) and float(quantities.grad[0, 2]) == 0


def test_weights_fixed_and_learned():
    losses = {"space": torch.tensor(2.0), "source": torch.tensor(3.0), "physical": torch.tensor(-0.5)}
    assert float(Weighting("fixed", (1.0, 0.5, 2.0))(losses)) == pytest.approx(2 + 1.5 - 1)
    learned = Weighting("learned", (1.0, 1.0, 1.0))
    with torch.no_grad():
        learned.log_variances.copy_(torch.tensor([0.2, -0.1, 0.4]))
    expected = 2 * math.exp(-0.2) + 0.2 + 3 * math.exp(0.1) - 0.1 - 0.5 * math.exp(-0.4) + 0.4
    assert float(learned(losses).detach()) == pytest.approx(expected, rel=1e-6)
    alone = float(learned({"space": losses["space"]}).detach())
    assert alone == pytest.approx(2 * math.exp(-0.2) + 0.2, rel=1e-6), "what is off has no part"


def test_top_one():
    gallery = torch.eye(3)
    assert top_one(torch.eye(3)[[1, 1, 2]], gallery, torch.tensor([0, 1, 2])) == pytest.approx(2 / 3)


def test_cached_gradients_are_those_of_the_whole_batch():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Dropout(0.0), torch.nn.Linear(7, 6)).double()
    inputs, labels = torch.randn(8, 5, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])

    def encode(part):
        return tuple(network(inputs[part]).chunk(2, 1))

    def loss_of(outputs):
        return contrast(*outputs, labels, torch.tensor(5.0), False)

    loss_of(encode(slice(0, 8))).backward()
    expected = [part.grad.clone() for part in network.parameters()]
    network.zero_grad()
    parts = [slice(0, 3), slice(3, 6), slice(6, 8)]
    loss = cached_backward(network, encode, parts, loss_of, lambda value: value.backward())
    assert torch.allclose(loss, loss_of(encode(slice(0, 8))).detach())
    for found, wanted in zip(network.parameters(), expected, strict=True):
        assert torch.allclose(found.grad, wanted, atol=1e-6)


def test_cache_draws_the_same_masks_twice_and_moves_statistics_once():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5), torch.nn.Flatten())
    inputs, seen = torch.randn(4, 1, 2, 2), []

    def encode(part):
        seen.append(network(inputs[part]))
        return (seen[-1],)

    cached_backward(network, encode, [slice(0, 2), slice(2, 4)], lambda outputs: outputs[0].square().sum(), lambda value: value.backward())
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])
    other = torch.nn.BatchNorm2d(2)
    for part in (inputs[:2], inputs[2:]):
        other(network[0](part).detach())
    assert torch.allclose(network[1].running_mean, other.running_mean)


def test_lamb_is_adam_scaled_by_lengths():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = Lamb([weight], lr=0.1, weight_decay=0.01)
    weight.grad = torch.tensor([0.5, -2.0])
    optimizer.step()
    # In the first step m̂ / √v̂ is the gradient's sign.
    update = np.array([1.0, -1.0]) * np.array([0.5, 2.0]) / (np.array([0.5, 2.0]) + 1e-6) + 0.01 * np.array([3.0, 4.0])
    assert weight.detach().numpy() == pytest.approx(np.array([3.0, 4.0]) - 0.1 * 5 / np.linalg.norm(update) * update, rel=1e-5)


def test_attributes_of_a_synthetic_decay():
    rate, seconds = 16000, 0.5
    rng, times = np.random.default_rng(0), np.arange(16000) / 16000
    response = 0.05 * rng.standard_normal(16000) * 10 ** (-3 * times / seconds)
    response[0] += 1.0
    drr, t30 = band_measures(response, rate)
    high = [place for place, centre in enumerate(BANDS_HZ) if 500 <= centre <= 5100]
    assert np.nanmedian(t30[high]) == pytest.approx(seconds, rel=0.1) and np.isfinite(drr[high]).all()
    assert np.isnan(t30[-1]), "8 kHz is the Nyquist frequency"
    louder, _ = band_measures(response + np.eye(1, 16000)[0] * 3, rate)
    assert (louder[high] > drr[high] + 5).all()
    assert len(NAMES) == 44 and NAMES[:4] == ("azimuth", "elevation", "distance", "volume") and NAMES[4] == "drr_100hz_db"


def test_attribute_loss_against_the_formula():
    predicted, targets = torch.tensor([[0.1, 0.2, 1.0, 2.0]]), torch.tensor([[0.4, -0.2, 0.0, math.nan]])
    assert float(attribute_loss(predicted, targets)) == pytest.approx(-math.cos(0.3) - math.cos(0.4) + 1.0, rel=1e-5)
    assert ANGLES == 2
