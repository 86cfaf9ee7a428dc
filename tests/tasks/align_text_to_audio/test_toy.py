"""A world of two sounds: a model that makes either must come to make the preferred one."""

import math
from itertools import pairwise

import pytest
import torch

from tasks.align_text_to_audio.alignment import Alignment
from tasks.align_text_to_audio.clips import Data
from tasks.align_text_to_audio.spec import Settings
from tasks.text_to_audio.model import load
from tests.tasks.align_text_to_audio.conftest import silent, small_model

PROMPT = "Sound of a dog"


def world(model, clips=48):
    """Latents of two modes, +1 and −1 in every channel and frame, with some spread; winners come from the first."""
    generator = torch.Generator().manual_seed(5)
    signs = torch.ones(clips).index_fill(0, torch.arange(clips // 2, clips), -1.0)
    latents = signs[:, None, None] + 0.2 * torch.randn(clips, model.model.io_channels, model.latent_frames, generator=generator)
    pairs = clips // 2
    return Data(
        latents, clips, gold=list(range(clips)), gold_captions=[[PROMPT]] * clips, gold_seconds=[0.1] * clips, winners=list(range(pairs)),
        losers=list(range(pairs, clips)), prompts=[PROMPT] * pairs, seconds=[0.1] * pairs,
    )  # fmt: skip


@torch.no_grad()
def samples(model, count=96, steps=16):
    """Deterministic sampling from pure noise, written out: DDIM in v (Salimans & Ho, 2022), Euler for rectified flow."""
    x = torch.randn(count, model.model.io_channels, model.latent_frames, generator=torch.Generator().manual_seed(9))
    inputs = model.model.get_conditioning_inputs(model.conditioning([PROMPT] * count, [0.1] * count, "cpu"))
    times = torch.linspace(1.0, 0.0, steps + 1).tolist()
    for now, after in pairwise(times):
        predicted = model.model.model(x, torch.full((count,), now), **inputs)
        if model.model.diffusion_objective == "v":
            alpha, sigma = math.cos(now * math.pi / 2), math.sin(now * math.pi / 2)
            clean, noise = alpha * x - sigma * predicted, sigma * x + alpha * predicted
            x = math.cos(after * math.pi / 2) * clean + math.sin(after * math.pi / 2) * noise
        else:
            x = x + (after - now) * predicted
    return x.mean(dim=(1, 2))


def train(model, folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    alignment = Alignment(model, world(model), Settings(**{"batch_pairs": 16, "cfg_dropout": 0.0, **settings}), silent(folder, folder))
    return alignment.run()


@pytest.mark.parametrize("objective", ["v", "rectified_flow"])
def test_preference_moves_the_distribution_to_the_winners(tmp_path, objective):
    model = small_model(objective, canvas_s=0.1, depth=1, latent_dim=2)
    train(model, tmp_path / "base", method="erm", steps=200, learning_rate=3e-3, ema_decay=0.95)
    model.save(tmp_path)
    before = samples(model)
    share = float((before > 0).float().mean())
    assert 0.3 < share < 0.7 and float((before.abs() > 0.5).float().mean()) > 0.8, "the base model makes both sounds"
    changes = {}
    ways = [("full", 1e-3, 0.0), ("full", 1e-3, 1.0)] if objective == "v" else [("full", 1e-3, 0.0), ("adapters", 3e-2, 0.0)]
    for tune, rate, weight in ways:
        aligned = load(tmp_path)
        options = {"tune": tune, "learning_rate": rate, "winner_loss_weight": weight, "steps": 100, "beta": 20.0, "ema_decay": 0.9}
        curves = train(aligned, tmp_path / f"{tune}{weight}", **options)["dpo"]
        after = samples(aligned)
        assert float((after > 0).float().mean()) > 0.8, f"{tune}: {share} of the sounds were the preferred one before"
        assert float(((after - 1).abs() < 0.5).float().mean()) > 0.75, "and they are that sound, not something beyond it"
        assert min(curves["implicit_accuracy"][-10:]) > 0.85
        changes[tune, weight] = sum(curves["winner_loss_change"][-10:]) / 10
    if objective == "v":
        assert changes["full", 1.0] < changes["full", 0.0] - 0.2, "the winners' own term keeps them from getting worse"
