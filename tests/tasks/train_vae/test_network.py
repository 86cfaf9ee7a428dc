import pytest
import torch

from core.errors import InvalidValueError
from tasks.vae_models.discriminator import Discriminator
from tasks.vae_models.network import VAEDeep, load, parameter_count, save


def test_sizes_are_the_published_ones():
    assert parameter_count(VAEDeep()) == 1_117_521
    assert parameter_count(Discriminator(8)) == 4_015_002


def test_forward_is_the_published_network_layer_by_layer():
    """Convolution, LeakyReLU, then pooling, in the published order, on the same weights."""
    torch.manual_seed(0)
    model, features = VAEDeep(5, 16, 24), torch.rand(3, 1, 16, 24)
    hidden, leaky = features, torch.nn.LeakyReLU(0.01)
    for layer in model.down:
        hidden = torch.nn.functional.max_pool2d(leaky(torch.nn.functional.conv2d(hidden, layer.weight, layer.bias, padding=1)), 2)
    hidden = hidden.reshape(3, -1)
    assert hidden.shape[1] == 64 * 2 * 3
    for number in (0, 2):
        hidden = leaky(hidden @ model.encoder[number].weight.T + model.encoder[number].bias)
    mean, log_variance = (hidden @ head.weight.T + head.bias for head in (model.to_mean, model.to_log_variance))
    found = model.encode(features)
    assert torch.allclose(found[0], mean, atol=1e-6) and torch.allclose(found[1], log_variance, atol=1e-6)
    hidden = mean
    for number in (0, 2, 4):
        hidden = leaky(hidden @ model.decoder[number].weight.T + model.decoder[number].bias)
    hidden = hidden.reshape(3, 64, 2, 3)
    for number, layer in enumerate(model.up):
        hidden = torch.nn.functional.conv_transpose2d(hidden, layer.weight, layer.bias, stride=2, padding=1, output_padding=1)
        hidden = leaky(hidden) if number < 2 else hidden.sigmoid()
    assert torch.allclose(model.decode(mean), hidden, atol=1e-6) and hidden.shape == features.shape


def test_gradients_are_those_of_pooling_after_the_nonlinearity():
    torch.manual_seed(0)
    layer, features = torch.nn.Conv2d(1, 4, 3, padding=1), torch.randn(2, 1, 8, 8)
    pool, leaky = torch.nn.functional.max_pool2d, torch.nn.functional.leaky_relu
    gradients = []
    for order in (lambda x: leaky(pool(x, 2), 0.01), lambda x: pool(leaky(x, 0.01), 2)):
        layer.zero_grad()
        order(layer(features)).square().sum().backward()
        gradients.append(layer.weight.grad.clone())
    assert torch.allclose(*gradients, atol=1e-6) and gradients[0].abs().max() > 0.1


def test_codes_are_drawn_from_q_in_evaluation_too():
    model = VAEDeep(2, 8, 8).eval()
    mean, log_variance = torch.tensor([[1.0, -2.0]]).repeat(40_000, 1), torch.tensor([[0.0, -2.0]]).repeat(40_000, 1)
    codes = model.sample(mean, log_variance, torch.Generator().manual_seed(0))
    assert codes.mean(0).tolist() == pytest.approx([1.0, -2.0], abs=0.02)
    assert codes.var(0).log().tolist() == pytest.approx([0.0, -2.0], abs=0.03)
    again = model.sample(mean, log_variance, torch.Generator().manual_seed(0))
    assert torch.equal(codes, again)


@pytest.mark.parametrize(("sizes", "named"), [((128, 31), "frames"), ((100, 32), "mels"), ((4, 32), "mels")])
def test_sizes_that_cannot_be_halved_three_times_are_refused(sizes, named):
    with pytest.raises(InvalidValueError, match=f"vae.{named}.*multiple of 8.*received: {sizes[named == 'frames']}"):
        VAEDeep(8, *sizes)
    assert VAEDeep(8, 64, 40).decode(torch.zeros(1, 8)).shape == (1, 1, 64, 40)
    with pytest.raises(InvalidValueError, match="another shape"):
        VAEDeep(8, 64, 40).encode(torch.zeros(1, 1, 40, 64))


def test_saved_and_loaded_it_is_the_same_and_the_bytes_too(tmp_path):
    torch.manual_seed(0)
    model = VAEDeep(3, 16, 8).to(memory_format=torch.channels_last)
    save(tmp_path / "a", model, {"method": "vae", "seed": 1})
    save(tmp_path / "b", model, {"method": "vae", "seed": 1})
    assert (tmp_path / "a/model.pt").read_bytes() == (tmp_path / "b/model.pt").read_bytes()
    saved = torch.load(tmp_path / "a/model.pt", weights_only=True)
    assert set(saved) == {"state", "config"} and saved["config"] == {"method": "vae", "seed": 1, "latent": 3, "mels": 16, "frames": 8}
    loaded, features = load(tmp_path / "a", "cpu"), torch.rand(4, 1, 16, 8)
    assert not loaded.training and torch.allclose(loaded.encode(features)[0], model.encode(features)[0], atol=1e-6)
    with pytest.raises(InvalidValueError, match="no trained model"):
        load(tmp_path / "none")
