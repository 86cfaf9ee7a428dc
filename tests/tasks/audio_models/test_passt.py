import numpy as np
import pytest
import torch

from core import keys
from core.errors import InvalidValueError
from tasks.audio_models import passt
from tasks.audio_models.efficient_at import Spectrogram
from tasks.audio_models.opening import WITH_WEIGHTS, open_audio_model
from tasks.audio_models.passt import Passt, PasstTwoLevels
from tasks.audio_models.vision_transformer import Size
from tests.tasks.audio_models.random_weights import layer, noise, normalised, randomised

SMALL = Size(2, 24, 3)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A file of a network that is small, but has the published names."""
    monkeypatch.setitem(passt.SIZES, "passt_s", SMALL)
    torch.save(randomised(Passt(SMALL)).state_dict(), tmp_path / "passt-s.pt")
    return tmp_path / "passt-s.pt"


@pytest.mark.parametrize(("name", "parameters"), [("passt_s", 86_153_758), ("passt_l", 50_714_398)])
def test_networks_have_the_sizes_of_the_authors_package(name, parameters):
    with torch.device("meta"):
        model = PasstTwoLevels(name)
    assert sum(part.numel() for part in model.network.parameters()) == parameters
    assert (model.dimensions, model.sample_rate_hz, model.includes_mel) == (2304, 32000, True) and name in WITH_WEIGHTS
    shapes = {name: tuple(part.shape) for name, part in model.network.state_dict().items()}
    assert {
        "cls_token": (1, 1, 768), "dist_token": (1, 1, 768), "new_pos_embed": (1, 2, 768), "freq_new_pos_embed": (1, 768, 12, 1),
        "time_new_pos_embed": (1, 768, 1, 99), "patch_embed.proj.weight": (768, 1, 16, 16), "blocks.6.attn.qkv.weight": (2304, 768),
        "blocks.0.mlp.fc1.bias": (3072,), "norm.bias": (768,), "head.0.weight": (768,), "head.1.weight": (527, 768),
        "head_dist.bias": (527,),
    }.items() <= shapes.items()  # fmt: skip


def by_hand(state, levels):
    """Summary tokens of one spectrogram [128, frames], patch by patch."""
    tokens = [state["cls_token"][0, 0] + state["new_pos_embed"][0, 0], state["dist_token"][0, 0] + state["new_pos_embed"][0, 1]]
    for band in range(12):
        for frame in range((levels.shape[1] - 16) // 10 + 1):
            patch = levels[band * 10 : band * 10 + 16, frame * 10 : frame * 10 + 16]
            token = (state["patch_embed.proj.weight"][:, 0] * patch).sum((1, 2)) + state["patch_embed.proj.bias"]
            tokens.append(token + state["freq_new_pos_embed"][0, :, band, 0] + state["time_new_pos_embed"][0, :, 0, frame])
    x = torch.stack(tokens)[None]
    for block in range(SMALL.depth):
        x = layer(state, f"blocks.{block}", SMALL.heads)(x)
    return normalised(x[0, :2], state, "norm", 1e-6).mean(0)


@torch.no_grad()
def test_moments_by_hand(saved):
    model, state = open_audio_model(f"passt_s:{saved}", reduction="none"), torch.load(saved, weights_only=True)
    sounds = noise(2, 20000)
    found = model(sounds)
    assert found.shape == (2, 1 + 20000 // 1600, 2 * 24 + 768) and not found.requires_grad
    for moment in (0, 5, 12):
        parts = []
        for window in (5120, 20480, 1920):
            mirrored = torch.from_numpy(np.pad(sounds[1].numpy(), window // 2, mode="reflect"))
            levels = Spectrogram()(mirrored[None, moment * 1600 : moment * 1600 + window])[0]
            parts.append(levels.flatten() if window == 1920 else by_hand(state, levels))
        assert torch.allclose(found[1, moment], torch.cat(parts), atol=1e-4)
    assert torch.allclose(open_audio_model(f"passt_s:{saved}")(sounds), found.mean(1))
    levels = noise(1, 128 * 998).reshape(128, 998)
    features = by_hand(state, levels)
    logits = normalised(features, state, "head.0", 1e-5) @ state["head.1.weight"].T + state["head.1.bias"]
    assert torch.allclose(model.network(levels[None, None])[0], logits, atol=1e-4)


@torch.no_grad()
def test_a_vector_hangs_on_its_sound_alone(saved):
    model = open_audio_model(f"passt_s:{saved}")
    sounds = noise(3, 16000)
    assert torch.equal(model(sounds)[1:2], model(sounds[1:2])) and model(sounds).shape == (3, 816)
    assert not torch.allclose(model(sounds)[0], model(sounds)[1], atol=1e-3)


@torch.no_grad()
def test_lengths(saved):
    model = open_audio_model(f"passt_s:{saved}", reduction="none")
    assert model(noise(1, 5 * 32000)).shape[1] == 101 and model(noise(1, 12 * 32000)).shape[1] == 241
    short = noise(1, 100)
    followed = torch.cat([short, torch.zeros(1, 10241 - 100)], 1)
    assert model(short).shape[1] == 7 and torch.equal(model(short), model(followed))


def test_the_identity_has_the_weights_digest(saved):
    model = open_audio_model(f"passt_s:{saved}", reduction="max")
    assert model.identity == f"passt_s:{keys.file_digest(saved)[:16]}/max" and model.name == "passt_s"


def test_weights_are_loaded_strictly(saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    # The classifiers of other data sets are not heard.
    other = state | {name: part[:20].clone() for name, part in state.items() if name.startswith(("head.1", "head_dist"))}
    torch.save(other, tmp_path / "openmic.pt")
    sounds = noise(1, 9000)
    assert torch.equal(open_audio_model(f"passt_s:{tmp_path / 'openmic.pt'}")(sounds), open_audio_model(f"passt_s:{saved}")(sounds))
    wrong = [
        {name: part for name, part in state.items() if name != "blocks.1.norm2.bias"}, {**state, "more": torch.zeros(1)}, {}, [1, 2],
        {**state, "time_new_pos_embed": torch.zeros(1, 24, 1, 199)},  # of 20 s
        {**state, "freq_new_pos_embed": torch.zeros(1, 24, 8, 1)},  # of patches every 16
        {**state, "head.1.bias": torch.zeros(20)}, {name: part for name, part in state.items() if not name.startswith("head")},
    ]  # fmt: skip
    for number, held in enumerate(wrong):
        torch.save(held, tmp_path / f"wrong{number}.pt")
        with pytest.raises(InvalidValueError, match="another network"):
            open_audio_model(f"passt_s:{tmp_path / f'wrong{number}.pt'}")
    with pytest.raises(InvalidValueError, match="another network"):
        open_audio_model(f"passt_l:{saved}")
