import math

import pytest
import torch

from core.errors import InvalidValueError
from tasks.contrastive.encoder import Encoder, load, random_encoder, save
from tasks.contrastive.network import ResNet18


def test_it_is_the_published_network():
    network = ResNet18()
    assert sum(part.numel() for part in network.parameters()) == 11_432_960
    assert sum(part.numel() for part in ResNet18(channels=3).parameters()) == 11_689_512 - 1000 * 513 + 512 * 513, (
        "ImageNet's, but the classes"
    )
    assert len(network.state_dict()) == 123


def test_outputs_are_torchvisions_for_the_same_weights():
    """Reference: torchvision 0.26 ``resnet18(num_classes=512)`` with the one-channel convolution, weights and inputs as here."""
    network = ResNet18()
    with torch.no_grad():
        for number, (name, part) in enumerate(network.named_parameters()):
            k = torch.arange(part.numel(), dtype=torch.float64)
            if part.ndim > 1:
                values = torch.sin(k * 0.7 + number) * math.sqrt(2 / part[0].numel())
            else:
                values = 1 + 0.1 * torch.sin(k + number) if "weight" in name else 0.1 * torch.sin(k + number)
            part.copy_(values.view_as(part))
    inputs = torch.sin(torch.arange(3 * 96 * 64, dtype=torch.float64) * 0.013).float().view(3, 1, 96, 64) * 2 - 1
    found = network.train()(inputs)
    expected = [0.05286, 0.16929, 0.2602, 0.19665, 0.22319, 0.22064, -0.19929, -0.06349, 0.06224]
    assert found[:, :3].flatten().tolist() == pytest.approx(expected, abs=2e-4)
    assert float(found.detach().abs().mean()) == pytest.approx(0.1608175, abs=1e-4)
    found = network.eval()(inputs)
    expected = [439.22165, 606.99512, 734.43781, -3839.14673, -4316.36182, -4506.90137, -1400.67017, -2380.97754, -3203.15796]
    assert found[:, :3].flatten().tolist() == pytest.approx(expected, rel=1e-3)


def test_first_weights_are_torchvisions_kind():
    torch.manual_seed(0)
    network = ResNet18()
    deep = network.layer3[0].conv1.weight
    assert float(deep.detach().std()) == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.02), "He et al. (2015), by fan out"
    first = network.conv1.weight.detach()
    assert float(first.abs().max()) <= 1 / 7 and float(first.std()) == pytest.approx(1 / 7 / math.sqrt(3), rel=0.05), (
        "torch's, as published"
    )


def test_three_channels_see_the_spectrogram_three_times():
    network = ResNet18(8, channels=3, width=4).eval()
    assert network.conv1.bias is None
    found = network(torch.ones(2, 1, 96, 64))
    assert found.shape == (2, 8) and torch.equal(found[0], found[1])


def test_a_kept_encoder_is_loaded_as_it_was(tmp_path):
    encoder = random_encoder(3, {"front_end": "simple", "sample_rate_hz": 8000, "dimensions": 6, "width": 4})
    save(tmp_path / "a", encoder, {"seed": 3})
    save(tmp_path / "b", encoder, {"seed": 3})
    assert (tmp_path / "a/model.pt").read_bytes() == (tmp_path / "b/model.pt").read_bytes()
    sounds = torch.randn(2, 8000, generator=torch.Generator().manual_seed(1))
    for path in (tmp_path / "a", tmp_path / "a/model.pt"):
        found = load(path)
        assert found.config == encoder.config and not found.training and torch.equal(found(sounds), encoder(sounds))
    with pytest.raises(InvalidValueError, match="no trained encoder"):
        load(tmp_path)


def test_a_random_encoder_is_the_start_of_a_training_and_leaves_the_generator_alone():
    torch.manual_seed(7)
    first = Encoder(dimensions=6, width=4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = random_encoder(7, {"dimensions": 6, "width": 4})
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one, other) for one, other in zip(first.state_dict().values(), found.state_dict().values(), strict=True))
