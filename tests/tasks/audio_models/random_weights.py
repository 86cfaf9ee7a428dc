"""Random weights in the form that the authors of a model publish theirs."""

import torch
from torch import Tensor, nn


def noise(sounds: int, samples: int, seed: int = 0) -> Tensor:
    """Return sounds [sounds, samples]."""
    return torch.randn(sounds, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def randomised(network: nn.Module, seed: int = 0, spread: float = 0.2) -> nn.Module:
    """Give every weight of a network a random value, scales about 1 and variances above 0, so that none can be left out unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    for name, part in [*network.named_parameters(), *network.named_buffers()]:
        if part.is_floating_point() and "speclayer" not in name:
            drawn = torch.randn(part.shape, generator=generator) * spread
            scale = part.ndim == 1 and name.endswith("weight")
            part.data = drawn.abs() + 0.5 if name.endswith("running_var") else drawn + scale
    return network.eval()


def layer(state: dict[str, Tensor], prefix: str, heads: int) -> nn.TransformerEncoderLayer:
    """Return PyTorch's own encoder layer with the weights of a block: the same computation by somebody else's code."""
    width = len(state[f"{prefix}.norm1.weight"])
    other = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
    names = {
        "self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.", "linear1.": "mlp.fc1.", "linear2.": "mlp.fc2.",
        "norm1.": "norm1.", "norm2.": "norm2.",
    }  # fmt: skip
    other.load_state_dict({
        to + kind: state[f"{prefix}.{name}{kind}"] for to, name in names.items() for kind in ("weight", "bias")
    })  # fmt: skip
    return other.eval()


def normalised(x: Tensor, state: dict[str, Tensor], name: str, epsilon: float) -> Tensor:
    """Return a layer normalisation, written out."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]
