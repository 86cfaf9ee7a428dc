import copy
import math

import numpy as np
import pytest
import torch

from tasks.train_vae import recipe
from tasks.train_vae.spec import METHODS, Request, Settings
from tasks.vae_models.discriminator import Discriminator, permute_dims
from tasks.vae_models.gaussians import active_units, kl_to_prior
from tasks.vae_models.network import VAEDeep
from tasks.vae_models.objectives import OBJECTIVES, build
from tasks.vae_models.objectives.base import Plan, pass_through
from tasks.vae_models.objectives.covariance import code_covariance

CLIPS = 10


@pytest.fixture
def model():
    torch.manual_seed(3)
    return VAEDeep(4, 16, 8)


def features(clips=CLIPS):
    return torch.rand(clips, 1, 16, 8, generator=torch.Generator().manual_seed(5))


def loss_of(model, weight=1.0, clips=CLIPS, **plan):
    objective = build(Plan(**{"method": "beta_vae", "latent": 4, "dataset": 100, **plan}))
    return objective, objective(model, features(clips), torch.Generator().manual_seed(7), weight)


def passed(model, clips=CLIPS):
    """The same pass, by hand."""
    found = pass_through(model, features(clips), torch.Generator().manual_seed(7))
    q = torch.distributions.Normal(found.mean, (0.5 * found.log_variance).exp())
    kl = float(torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean().detach())
    errors = ((found.rebuilt - found.features) ** 2).flatten(1).sum(1).detach()
    return found, kl, errors


def test_every_method_has_an_objective():
    assert set(OBJECTIVES) == set(METHODS)


def test_divergence_is_torchs_and_active_units_are_counted():
    mean, log_variance = torch.randn(6, 3), torch.randn(6, 3)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    assert torch.allclose(
        kl_to_prior(mean, log_variance), torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)), atol=1e-6
    )
    spread = torch.tensor([0.0, 0.09, 0.11, 2.0])  # standard deviations; the line is at 0.1
    rows = torch.cat([torch.ones(50, 1) * spread, -torch.ones(50, 1) * spread]) + 7
    assert active_units(rows) == 2 and active_units(torch.full((9, 4), 3.0)) == 0


def test_loss_per_sample_is_the_negative_elbo_of_the_gaussian_up_to_its_constant(model):
    found, kl, errors = passed(model)
    _, terms = loss_of(model, beta=4.0, sigma=0.2)
    gaussian = torch.distributions.Normal(found.rebuilt, 0.2)
    constant = found.features[0].numel() * math.log(0.2 * math.sqrt(2 * math.pi))
    nats = -float(gaussian.log_prob(found.features).flatten(1).sum(1).mean().detach()) - constant
    assert float(terms.loss.detach()) == pytest.approx(nats + 4 * kl, rel=1e-5)
    assert float(terms.values["kl"]) == pytest.approx(kl, rel=1e-5)
    assert float(terms.values["reconstruction"]) == pytest.approx(float(errors.mean()), rel=1e-5)
    assert float(terms.values["effective_beta"]) == pytest.approx(2 * 0.2**2 * 4)


def test_legacy_scale_is_the_sum_over_the_batch_beside_the_mean(model):
    _, kl, errors = passed(model)
    _, terms = loss_of(model, beta=4.0, kl_scale="legacy", sigma=0.001)
    assert float(terms.loss.detach()) == pytest.approx(float(errors.sum()) + 4 * kl, rel=1e-5)
    assert float(terms.values["effective_beta"]) == pytest.approx(4 / CLIPS)
    _, terms = loss_of(model, clips=64, beta=4.0, kl_scale="legacy")
    assert float(terms.values["effective_beta"]) == 0.0625
    _, terms = loss_of(model, clips=64, beta=1.0, kl_scale="legacy")
    assert float(terms.values["effective_beta"]) == 1 / 64


@pytest.mark.parametrize("scale", [{"sigma": 0.1}, {"kl_scale": "legacy"}])
def test_effective_beta_is_what_weighs_kl_against_squared_error(model, scale):
    """The loss's gradient is, up to a factor, that of SSE per clip + effective β · KL per clip."""
    _, terms = loss_of(model, beta=4.0, weight=0.5, **scale)
    weights = list(model.parameters())
    found = torch.cat([part.flatten() for part in torch.autograd.grad(terms.loss, weights)])
    by_hand = pass_through(model, features(), torch.Generator().manual_seed(7))
    loss = by_hand.squared_error + float(terms.values["effective_beta"]) * by_hand.kl
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])
    assert torch.nn.functional.cosine_similarity(found, expected, dim=0) == pytest.approx(1.0, abs=1e-5)


def test_learned_sigma_is_the_most_likely_one(model):
    found, kl, _ = passed(model)
    _, terms = loss_of(model, beta=1.0, learn_sigma=True)
    losses = []
    for sigma in np.linspace(0.05, 1.0, 400):
        nats = -torch.distributions.Normal(found.rebuilt, float(sigma)).log_prob(found.features).flatten(1).sum(1).mean()
        losses.append(float(nats.detach()) - found.features[0].numel() * 0.5 * math.log(2 * math.pi))
    assert float(terms.loss.detach()) == pytest.approx(min(losses) + kl, rel=1e-4)
    sigma = np.linspace(0.05, 1.0, 400)[int(np.argmin(losses))]
    assert float(terms.values["effective_beta"]) == pytest.approx(2 * sigma**2, rel=0.02)


def test_warm_up_scales_the_penalty_alone(model):
    nothing, half, whole = (float(loss_of(model, weight=weight, beta=4.0)[1].loss.detach()) for weight in (0.0, 0.5, 1.0))
    _, kl, errors = passed(model)
    assert nothing == pytest.approx(float(errors.mean()) / 0.02, rel=1e-5)
    assert half - nothing == pytest.approx(2 * kl, abs=0.02) and whole - nothing == pytest.approx(4 * kl, abs=0.02)


def test_tcvae_with_equal_weights_is_beta_times_the_sampled_kl_and_uses_the_decoded_codes(model):
    by_hand, _, errors = passed(model)
    q = torch.distributions.Normal(by_hand.mean, (0.5 * by_hand.log_variance).exp())
    sampled = (q.log_prob(by_hand.codes) - torch.distributions.Normal(0.0, 1.0).log_prob(by_hand.codes)).sum(1).mean()
    _, terms = loss_of(model, method="beta_tcvae", alpha=3.0, beta=3.0, gamma=3.0)
    assert float(terms.loss.detach()) == pytest.approx(float(errors.mean()) / 0.02 + 3 * float(sampled.detach()), rel=1e-5)
    _, faulty = loss_of(model, method="beta_tcvae", alpha=3.0, beta=3.0, gamma=3.0, legacy=True)
    assert float(faulty.loss.detach()) != pytest.approx(float(terms.loss.detach()), abs=1e-3), "other codes than those decoded"
    parts = [loss_of(model, method="beta_tcvae", **weights)[1] for weights in ({"beta": 1.0}, {"beta": 5.0})]
    gap = float((parts[1].loss - parts[0].loss).detach())
    assert gap == pytest.approx(4 * float(parts[0].values["batch_total_correlation"]), abs=0.02)


def test_capacity_is_approached_from_both_sides(model):
    _, kl, errors = passed(model)
    base = float(errors.mean()) / 0.02
    for weight, capacity in ((0.0, 0.0), (0.5, 6.0), (1.0, 12.0)):
        _, terms = loss_of(model, method="annealed_vae", gamma=7.0, capacity_nats=12.0, weight=weight)
        assert float(terms.loss.detach()) == pytest.approx(base + 7 * abs(kl - capacity), rel=1e-5)
        assert float(terms.values["capacity"]) == capacity


def test_dip_is_the_distance_of_the_covariance_from_the_identity(model):
    by_hand, kl, errors = passed(model)
    mean, variance = by_hand.mean.detach().double().numpy(), by_hand.log_variance.detach().double().exp().numpy()
    covariance = np.cov(mean.T, bias=True) + np.diag(variance.mean(0))
    assert code_covariance(by_hand.mean, by_hand.log_variance).detach().numpy() == pytest.approx(covariance, abs=1e-5)
    off = sum(covariance[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
    on = sum((covariance[i, i] - 1) ** 2 for i in range(4))
    _, terms = loss_of(model, method="dip_vae_ii", off_diagonal=30.0, diagonal=5.0, weight=0.5)
    assert float(terms.loss.detach()) == pytest.approx(float(errors.mean()) / 0.02 + 0.5 * (kl + 30 * off + 5 * on), rel=1e-5)


def factor(model, clips=CLIPS, **plan):
    torch.manual_seed(11)
    return loss_of(model, method="factor_vae", gamma=6.0, clips=clips, **plan)


def test_factor_loss_is_the_published_one_on_the_first_half(model):
    objective, terms = factor(model)
    by_hand = pass_through(model, features()[:5], torch.Generator().manual_seed(7))
    logits = objective.discriminator(by_hand.codes)
    ratio = (torch.softmax(logits, 1)[:, 0] / torch.softmax(logits, 1)[:, 1]).log().mean()
    expected = by_hand.squared_error / 0.02 + by_hand.kl + 6 * ratio
    assert float(terms.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert float(terms.values["batch_total_correlation"]) == pytest.approx(float(ratio.detach()), abs=1e-5)


def test_discriminators_step_leaves_the_network_alone_unless_in_legacy(model):
    objective, terms = factor(model)
    terms.loss.backward()
    assert all(part.grad is None for part in objective.discriminator.parameters()), "nor does the network's step move the discriminator"
    before = [part.grad.clone() for part in model.parameters()]
    weights = copy.deepcopy(objective.discriminator.state_dict())
    found = objective.after_step()
    assert all(torch.equal(one, part.grad) for one, part in zip(before, model.parameters(), strict=True))
    moved = [float((part - weights[name]).abs().max()) for name, part in objective.discriminator.state_dict().items()]
    assert max(moved) == pytest.approx(5e-5, rel=0.05) and found["discriminator_loss"] > 0, "Adam's first step is its rate"
    _, faulty = factor(model, legacy=True)
    second = pass_through(model, features()[:5], torch.Generator().manual_seed(7))
    again = second.drawn_again()
    logits = torch.func.functional_call(objective.discriminator, weights, again)
    leaked = 0.5 * torch.nn.functional.cross_entropy(logits, torch.zeros(5, dtype=torch.long))
    ratio = (logits[:, 0] - logits[:, 1]).mean()
    expected = second.squared_error / 0.02 + second.kl + 6 * ratio + leaked
    assert float(faulty.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(("clips", "learns"), [(7, True), (3, True), (2, True), (1, False)])
def test_odd_and_last_batches_are_safe(model, clips, learns):
    objective, terms = factor(model, clips=clips)
    terms.loss.backward()
    assert math.isfinite(float(terms.loss.detach())) and bool(objective.after_step()) is learns and objective.after_step() == {}


def test_shuffled_codes_keep_their_marginals_and_lose_their_ties():
    codes = torch.randn(2000, 1).repeat(1, 3)
    shuffled = permute_dims(codes, torch.Generator().manual_seed(0))
    assert all(torch.equal(shuffled[:, j].sort().values, codes[:, j].sort().values) for j in range(3))
    ties = np.corrcoef(shuffled.T.numpy()) - np.eye(3)
    assert np.abs(ties).max() < 0.1 and np.corrcoef(codes.T.numpy()).min() > 0.999


def test_discriminator_starts_kaiming_uniform():
    layer = Discriminator(8).layers[2]
    bound = math.sqrt(2 / (1 + 0.2**2)) * math.sqrt(3 / 1000)
    assert float(layer.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-3)


def test_plans_are_the_published_ones_by_name():
    found = {name: recipe.plan(Request("x", name, 0), 3200) for name in METHODS}
    assert [found[name].beta for name in METHODS] == [1, 4, 4, 1, 1, 1]
    assert (found["beta_tcvae"].alpha, found["beta_tcvae"].gamma, found["factor_vae"].gamma) == (1, 1, 6)
    paces = {name: recipe.pace(Request("x", name, 0, Settings(warm_up_share=0.25)), 3210) for name in METHODS}
    assert (paces["vae"].epochs, paces["vae"].batch_clips, paces["vae"].batches, paces["vae"].ramp_steps) == (20, 64, 51, 255)
    assert (paces["factor_vae"].epochs, paces["factor_vae"].batch_clips, paces["factor_vae"].batches) == (40, 128, 26)
    assert paces["annealed_vae"].ramp_steps == 510
    assert [paces["vae"].weight(step) for step in (0, 51, 255, 2000)] == [0, 0.2, 1, 1]
    alone = recipe.pace(Request("x", "factor_vae", 0, Settings(factor_epochs=1, factor_batch=1)), 3210)
    assert (alone.epochs, alone.batch_clips) == (20, 64)


def test_legacy_is_one_switch_for_the_published_convention():
    request = Request("x", "beta_tcvae", 0, Settings(legacy=True))
    assert recipe.plan(request, 100).kl_scale == "legacy" and recipe.plan(request, 100).legacy
    assert recipe.pace(request, 100).weight(0) == 1.0
    assert len(recipe.faults(request)) == 2 and recipe.faults(Request("x", "beta_tcvae", 0)) == ()
