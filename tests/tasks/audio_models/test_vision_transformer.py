import torch

from tasks.audio_models.vision_transformer import Patches, Size, blocks
from tests.tasks.audio_models.random_weights import layer, noise, randomised


def test_blocks_are_those_of_pytorch():
    network = randomised(blocks(Size(2, 24, 3)))
    tokens = noise(2, 7 * 24).reshape(2, 7, 24) * 10
    state = network.state_dict()
    with torch.no_grad():
        expected = layer(state, "1", 3)(layer(state, "0", 3)(tokens))
        assert torch.allclose(network(tokens), expected, atol=1e-5) and expected.std() > 0.5
        # A third head with the weights of the first two would be another network.
        assert not torch.allclose(network(tokens), layer(state, "1", 2)(layer(state, "0", 2)(tokens)), atol=1e-3)


def test_patches_overlap_by_their_stride():
    patches = randomised(Patches(5, 10))
    levels = noise(1, 128 * 40).reshape(1, 1, 128, 40)
    with torch.no_grad():
        found = patches(levels)
    assert found.shape == (1, 5, 12, 3)
    one = (levels[0, 0, 30:46, 20:36] * patches.proj.weight[:, 0]).sum((1, 2)) + patches.proj.bias
    assert torch.allclose(found[0, :, 3, 2], one, atol=1e-5)
