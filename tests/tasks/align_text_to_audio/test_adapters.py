import copy
import json

import numpy as np
import pytest
import torch
from stable_audio_tools.models.transformer import Attention

from core.errors import InvalidValueError
from tasks.text_to_audio import adapters
from tasks.text_to_audio import model as text_to_audio
from tests.tasks.align_text_to_audio.conftest import small_model


def ask(model, prompts=("a dog", "sound of a dog")):
    """The denoiser's answer to fixed latents, times and prompts."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, model.model.io_channels, model.latent_frames, generator=generator)
    inputs = model.model.get_conditioning_inputs(model.conditioning(list(prompts), [0.4, 0.3], "cpu"))
    with torch.no_grad():
        return model.model.model(x, torch.tensor([0.2, 0.7]), **inputs)


def open_gates(model, seed=4):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, part in adapters.trained_parameters(model.model).items():
            if name.endswith("gate"):
                part += torch.randn(part.shape, generator=generator)


@pytest.mark.parametrize("objective", ["v", "rectified_flow"])
def test_closed_gates_change_not_a_bit_and_open_ones_do(objective):
    model = small_model(objective)
    before, names = ask(model), set(model.model.state_dict())
    adapters.install(model.model, 3)
    assert torch.equal(ask(model), before)
    added = set(model.model.state_dict()) - names
    assert names <= set(model.model.state_dict()), "the base weights keep their names"
    assert added == set(adapters.trained_parameters(model.model)) and len(added) == 2 * 2 * 2, "tokens and gate, self and cross, two layers"
    open_gates(model)
    assert float((ask(model) - before).abs().mean()) > 1e-3


@pytest.mark.parametrize("kind", ["self", "cross", "grouped"])
@pytest.mark.parametrize("qk_norm", ["none", "l2", "ln"])
def test_attention_to_the_prefix_against_numpy(kind, qk_norm):
    torch.manual_seed(0)
    dim, heads, width = 64, 4, {"self": None, "cross": 64, "grouped": 32}[kind]
    layer = Attention(dim, dim_heads=16, dim_context=width, zero_init_output=False, qk_norm=qk_norm)
    holder = torch.nn.Module()
    holder.model = torch.nn.Sequential(layer)
    x, context = torch.randn(2, 5, dim), None if kind == "self" else torch.randn(2, 7, width)
    with torch.no_grad():
        alone = layer(x, context=context).numpy()
        adapters.install(holder, 3)
        layer.adapter.gate += torch.tensor([0.5, -1.0, 2.0, 0.1])
        got = layer(x, context=context).numpy()
        weight = (
            layer.to_qkv.weight.numpy() if kind == "self" else np.concatenate([layer.to_q.weight, layer.to_kv.weight.new_zeros(0, dim)])
        )
        q = x.numpy() @ weight[:dim].T
        keys_and_values = weight[dim:] if kind == "self" else layer.to_kv.weight.numpy()
        tokens, gate, out = layer.adapter.tokens.numpy(), np.tanh(layer.adapter.gate.numpy()), layer.to_out.weight.numpy()
    k, v = np.split(tokens @ keys_and_values.T, 2, axis=1)
    kv_heads = k.shape[1] // 16

    def normal(a):
        if qk_norm == "l2":
            return a / np.linalg.norm(a, axis=-1, keepdims=True)
        return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-6) if qk_norm == "ln" else a

    added = np.zeros((2, 5, dim))
    for head in range(heads):
        own, shared = slice(16 * head, 16 * head + 16), head * kv_heads // heads
        there = slice(16 * shared, 16 * shared + 16)
        logits = normal(q[..., own]) @ normal(k[:, there]).T / 4.0
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        added[..., own] = gate[head] * (chances / chances.sum(-1, keepdims=True)) @ v[:, there]
    assert np.allclose(got, alone + added @ out.T, atol=1e-4)


def test_adapters_are_saved_and_loaded_with_the_model_and_copied_with_it(tmp_path):
    model = small_model()
    adapters.install(model.model, 3)
    model.config[adapters.CONFIG_KEY] = {"tokens": 3}
    open_gates(model)
    model.save(tmp_path)
    assert json.loads((tmp_path / "model_config.json").read_text())["synthloom_adapters"] == {"tokens": 3}
    loaded = text_to_audio.load(tmp_path)
    assert torch.equal(ask(loaded), ask(model))
    loaded.model.model = copy.deepcopy(model.model.model)  # the denoiser: torch copies no weight-normalised autoencoder
    open_gates(loaded, seed=5)
    assert not torch.equal(ask(loaded), ask(model)), "a copy has weights of its own"
    assert torch.equal(ask(text_to_audio.load(tmp_path)), ask(model))


def test_seed_decides_the_tokens():
    tokens = []
    for seed in (0, 0, 1):
        model = small_model()
        adapters.install(model.model, 3, seed)
        tokens.append(next(iter(adapters.trained_parameters(model.model).values())))
    assert torch.equal(tokens[0], tokens[1]) and not torch.equal(tokens[0], tokens[2])


def test_what_adapters_do_not_fit_is_refused():
    model = small_model()
    adapters.install(model.model, 3)
    with pytest.raises(InvalidValueError, match="has adapters already"):
        adapters.install(model.model, 3)
    with pytest.raises(InvalidValueError, match="at least 1"):
        adapters.install(small_model().model, 0)
    holder = torch.nn.Module()
    holder.model = torch.nn.Sequential(Attention(64, dim_heads=16, differential=True))
    with pytest.raises(InvalidValueError, match=r"without differential attention.*tune=full"):
        adapters.install(holder, 3)
    holder.model = torch.nn.Linear(2, 2)
    with pytest.raises(InvalidValueError, match="do not fit this model"):
        adapters.install(holder, 3)
