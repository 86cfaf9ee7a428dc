import math

import numpy as np
import pytest
import torch

from tasks.align_text_to_audio import denoiser
from tasks.align_text_to_audio.alignment import Alignment
from tasks.align_text_to_audio.dpo_loss import implicit_accuracy, margins, preference_loss
from tasks.align_text_to_audio.spec import Settings
from tasks.training.loop import Loop, warm_cosine
from tests.tasks.align_text_to_audio.conftest import random_data, silent, small_model

OBJECTIVES = ["v", "rectified_flow"]


def prepared(tmp_path, objective="v", **settings):
    """An alignment before its first step, and a loop that collects its curves."""
    model = small_model(objective)
    chosen = Settings(**{"batch_pairs": 4, "learning_rate": 1e-4, **settings})
    alignment = Alignment(model, random_data(model), chosen, silent(tmp_path, tmp_path))
    alignment.reference = {name: part.detach().clone() for name, part in alignment.trained.items()}
    loop = Loop(alignment.context, "dpo", 10, alignment.trained.values(), warm_cosine(1e-4, 10), 0, 1)
    return alignment, loop


def test_loss_is_the_formula_computed_by_hand():
    generator = np.random.default_rng(0)
    policy, reference = generator.random(10) * 1e-2, generator.random(10) * 1e-2
    total = 0.0
    for pair in range(5):
        inside = (policy[pair] - policy[pair + 5]) - (reference[pair] - reference[pair + 5])
        total += -math.log(1 / (1 + math.exp(0.5 * 2000 * inside)))
    margin = margins(torch.tensor(policy), torch.tensor(reference), 2000.0)
    assert float(preference_loss(margin)) == pytest.approx(total / 5, rel=1e-12)
    favoured = (policy[:5] - policy[5:]) < (reference[:5] - reference[5:])
    assert implicit_accuracy(margin) == pytest.approx(favoured.mean())
    assert implicit_accuracy(torch.tensor([0.0, 1.0, -1.0, 2.0])) == 0.625, "a tie is half right"
    assert math.isfinite(float(preference_loss(torch.tensor([-1e6]))))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("tune", ["full", "adapters"])
def test_loss_is_ln_2_at_the_start(tmp_path, objective, tune):
    alignment, loop = prepared(tmp_path, objective, tune=tune)
    for step in range(3):
        loss = alignment.preference_step(torch.Generator().manual_seed(step), loop)
        assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6)
    assert loop.curves["implicit_accuracy"] == [0.5] * 3 and loop.curves["margin"] == [0.0] * 3


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("winner_loss_weight", [0.0, 1.0])
def test_whole_step_against_an_independent_computation(tmp_path, objective, winner_loss_weight):
    """The denoiser is asked clip by clip, without pairs, batches or reference copies; everything else is numpy."""
    alignment, loop = prepared(tmp_path, objective, beta=50.0, cfg_dropout=0.5, winner_loss_weight=winner_loss_weight)
    untouched = small_model(objective)
    with torch.no_grad():
        for part in alignment.trained.values():
            part += 0.03 * torch.randn(part.shape, generator=torch.Generator().manual_seed(3))
    got = alignment.preference_step(torch.Generator().manual_seed(7), loop)
    generator, data = torch.Generator().manual_seed(7), alignment.data
    rows = torch.randint(6, (4,), generator=generator).tolist()
    t = torch.rand(4, generator=generator)
    noise = torch.randn(4, *data.latents.shape[1:], generator=generator).numpy()
    dropped = (torch.rand(4, generator=generator) < 0.5).tolist()
    assert any(dropped) and not all(dropped)
    total, winner_losses = 0.0, []
    for place, row in enumerate(rows):
        errors = []
        for model in (alignment.model, untouched):
            for clip in (data.winners[row], data.losers[row]):
                z, e, at = data.latents[clip].numpy(), noise[place], float(t[place])
                if objective == "v":
                    a, s = math.cos(at * math.pi / 2), math.sin(at * math.pi / 2)
                    noised, target = a * z + s * e, a * e - s * z
                else:
                    noised, target = (1 - at) * z + at * e, e - z
                with torch.no_grad():
                    inputs = model.model.get_conditioning_inputs(model.conditioning([data.prompts[row]], [0.4], "cpu"))
                    if dropped[place]:
                        inputs["cross_attn_cond"] = torch.zeros_like(inputs["cross_attn_cond"])
                    predicted = model.model.model(torch.tensor(noised)[None].float(), t[place : place + 1], **inputs)[0].numpy()
                errors.append(float(np.mean((predicted - target) ** 2)))
        inside = (errors[0] - errors[1]) - (errors[2] - errors[3])
        total += math.log1p(math.exp(0.5 * 50.0 * inside))
        winner_losses.append(errors[0])
    expected = total / 4 + winner_loss_weight * np.mean(winner_losses)
    assert float(got.detach()) == pytest.approx(expected, rel=2e-4) and abs(expected - math.log(2)) > 1e-3
    assert loop.curves["winner_loss"][-1] == pytest.approx(np.mean(winner_losses), rel=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("tune", ["full", "adapters"])
def test_a_step_lowers_winners_against_losers(tmp_path, objective, tune):
    alignment, loop = prepared(tmp_path, objective, tune=tune, cfg_dropout=0.0)
    for _ in range(5):
        for part in alignment.trained.values():
            part.grad = None
        loss = alignment.preference_step(torch.Generator().manual_seed(11), loop)
        loss.backward()
        with torch.no_grad():
            for part in alignment.trained.values():
                part -= (3e-3 if tune == "adapters" else 1e-6) * part.grad
    assert loop.curves["margin"][-1] > 0.001 > abs(loop.curves["margin"][0])
    change = np.array(loop.curves["winner_loss_change"]) - np.array(loop.curves["loser_loss_change"])
    assert change[0] == 0 and (np.diff(change) < 0).all(), "every step of plain gradient descent widens the gap"


def test_model_and_reference_see_the_same_times_noise_and_dropped_prompts(tmp_path, monkeypatch):
    alignment, loop = prepared(tmp_path, cfg_dropout=0.5)
    seen, original = [], denoiser.functional_call

    def spy(module, weights, arguments, keywords):
        seen.append((arguments[0], arguments[1], keywords["cross_attn_cond"], bool(weights), module.training))
        return original(module, weights, arguments, keywords)

    monkeypatch.setattr(denoiser, "functional_call", spy)
    alignment.preference_step(torch.Generator().manual_seed(0), loop)
    (first_x, first_t, first_cond, as_reference, _), (x, t, cond, as_policy, training) = seen
    assert as_reference and not as_policy and not training
    assert torch.equal(first_x, x) and torch.equal(first_t, t) and torch.equal(first_cond, cond)
    assert torch.equal(t[:4], t[4:]) and torch.equal(cond[:4], cond[4:]), "winner and loser share times and dropped prompts"
    empty = (cond == 0).flatten(1).all(1)
    assert empty.any() and not empty.all()
    rows = torch.randint(6, (4,), generator=torch.Generator().manual_seed(0))
    sigma = torch.sin(t[:4] * math.pi / 2)[:, None, None]
    alpha = torch.cos(t[:4] * math.pi / 2)[:, None, None]
    winners, losers = alignment.data.latents[rows], alignment.data.latents[rows + 6]
    noise = [(x[:4] - alpha * winners) / sigma, (x[4:] - alpha * losers) / sigma]
    assert torch.allclose(noise[0], noise[1], atol=1e-3)


def test_prompts_reach_the_encoder_whole(tmp_path, monkeypatch):
    alignment, loop = prepared(tmp_path)
    long = "Sound of a dog, " + "barking in a yard " * 10 + "x" * 120
    alignment.data.prompts = ["Sound of a dog", long] * 3
    encoder, seen = alignment.model.model.conditioner.conditioners["prompt"], []
    original = type(encoder).tokens
    monkeypatch.setattr(type(encoder), "tokens", lambda self, texts: seen.extend(texts) or original(self, texts))
    alignment.preference_step(torch.Generator().manual_seed(0), loop)
    assert set(seen) == {"Sound of a dog", long} and len(long) > 300


def test_conditions_of_pairs_are_those_of_single_prompts(tmp_path):
    alignment, _ = prepared(tmp_path)
    both = denoiser.conditions(alignment.model, ["a dog", "Sound of a dog"], [0.4, 0.2], torch.device("cpu"), 2)
    alone = denoiser.conditions(alignment.model, ["Sound of a dog"], [0.2], torch.device("cpu"), 1)
    for row in (1, 3):
        assert torch.allclose(both["cross_attn_cond"][row], alone["cross_attn_cond"][0], atol=1e-6)
        assert torch.allclose(both["global_cond"][row], alone["global_cond"][0], atol=1e-6)


def test_times_follow_the_chosen_distribution():
    model = small_model()
    like = torch.zeros(4000, model.model.io_channels, 1)
    uniform = denoiser.draw(model, like, Settings(cfg_dropout=0.25), torch.Generator().manual_seed(0))
    normal = denoiser.draw(model, like, Settings(timesteps="logit_normal"), torch.Generator().manual_seed(0))
    assert float(uniform.t.std()) == pytest.approx(1 / math.sqrt(12), abs=0.01)
    assert float(torch.logit(normal.t).std()) == pytest.approx(1.0, abs=0.05)
    assert float(uniform.dropped.float().mean()) == pytest.approx(0.25, abs=0.03)
