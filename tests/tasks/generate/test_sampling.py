import math

import k_diffusion
import numpy as np
import pytest
import torch
from stable_audio_tools.inference import sampling as library

from core.errors import InvalidValueError
from tasks.generate.sampling import K_STEPS, ClipNoise, flow_times, sample, starting_point
from tasks.generate.spec import Settings
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.codec import FrontEnd

V = ("v-ddim", "v-ddim-cfgpp", *K_STEPS)
FLOW = ("euler", "rk4", "dpmpp", "pingpong")


def initial_noise(seed, channels, frames):
    """One clip's first noise [channels, frames]."""
    return ClipNoise([seed], channels, frames, "cpu")()[0]


def tiny(objective):
    """Return an untrained model whose output is not zero, as a fresh transformer's would be."""
    torch.manual_seed(0)
    front_end = FrontEnd(mean=-5.0, std=3.0, griffin_lim_iterations=2)
    config = text_to_audio.embedded_config(front_end, 0.5, 8, 64, 1, objective)
    model = text_to_audio.TextToAudio(text_to_audio.with_front_end(config, front_end, ["tone", "again", "rain"]))
    for name, weight in model.model.named_parameters():
        if weight.ndim > 1 and "pretransform" not in name:
            torch.nn.init.normal_(weight, std=0.08)
    model.model.eval().requires_grad_(False)
    return model


@pytest.fixture(scope="module")
def models():
    return {objective: tiny(objective) for objective in ("v", "rectified_flow")}


def seen_by(model, monkeypatch):
    """Return a list that collects (x, t) of every call of the denoiser."""
    calls = []
    inner = model.model.model.forward

    def forward(x, t, **arguments):
        calls.append((x.clone(), t.clone()))
        return inner(x, t, **arguments)

    monkeypatch.setattr(model.model.model, "forward", forward)
    return calls


@pytest.mark.parametrize(
    ("sampler", "level"), [*[(name, 0.4) for name in ("v-ddim", "euler", "rk4", "dpmpp", "pingpong")], *[(name, 7.0) for name in K_STEPS]]
)
def test_the_start_is_the_noised_latent_in_the_samplers_own_units(models, monkeypatch, sampler, level):
    model = models["rectified_flow" if sampler in FLOW else "v"]
    calls = seen_by(model, monkeypatch)
    latent = torch.randn(1, 8, model.latent_frames, generator=torch.Generator().manual_seed(1))
    settings = Settings(steps=4, initialize_audio=True, init_noise_level=level, sampler=sampler)
    sample(model, ["tone"], [0.5], [5], latent, settings, "cpu")
    z, noise = latent.numpy(), initial_noise(5, 8, model.latent_frames).numpy()[None]
    if sampler in K_STEPS:  # VDenoiser scales its input by 1 / √(σ² + 1) and asks for t = 2/π · atan σ
        expected, t = (z + level * noise) / math.sqrt(level**2 + 1), 2 / math.pi * math.atan(level)
    elif sampler == "v-ddim":
        expected, t = math.cos(math.pi * level / 2) * z + math.sin(math.pi * level / 2) * noise, level
    else:
        expected, t = (1 - level) * z + level * noise, level
    assert np.allclose(calls[0][0].numpy(), expected, atol=1e-5) and float(calls[0][1][0]) == pytest.approx(t, abs=1e-5)


@pytest.mark.parametrize("sampler", [*V, *FLOW])
@pytest.mark.parametrize("start", [False, True])
def test_no_sampler_lets_a_clip_depend_on_its_batch(models, sampler, start):
    model = models["rectified_flow" if sampler in FLOW else "v"]
    latents = torch.randn(3, 8, model.latent_frames, generator=torch.Generator().manual_seed(2)) if start else None
    settings = Settings(steps=4, initialize_audio=start, init_noise_level=0.6, sampler=sampler, negative_prompt="rain")
    prompts, seconds, seeds = ["tone", "again", "rain tone"], [0.5, 0.4, 0.3], [7, 8, 9]
    together = sample(model, prompts, seconds, seeds, latents, settings, "cpu")
    for i in range(3):
        alone = sample(model, [prompts[i]], [seconds[i]], [seeds[i]], None if latents is None else latents[i : i + 1], settings, "cpu")
        assert torch.allclose(together[i], alone[0], atol=1e-4), sampler
    assert torch.isfinite(together).all() and not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("sampler", ["v-ddim", "dpmpp-2m", "k-heun", "k-lms", "euler", "rk4", "dpmpp"])
@pytest.mark.parametrize("start", [False, True])
def test_clips_are_those_of_the_librarys_own_front_door(models, sampler, start, monkeypatch):
    """Without fresh noise on the way, the library's sample_k and sample_rf must give the same latents from the same noise."""
    objective = "rectified_flow" if sampler in FLOW else "v"
    model, level = models[objective], 0.5
    latent = torch.randn(1, 8, model.latent_frames, generator=torch.Generator().manual_seed(3)) if start else None
    settings = Settings(steps=5, sampler=sampler, initialize_audio=start, init_noise_level=level, cfg_scale=2.5)
    ours = sample(model, ["tone"], [0.5], [4], latent, settings, "cpu")
    inputs = model.model.get_conditioning_inputs(model.conditioning(["tone"], [0.5], "cpu"))
    common = {"init_data": latent, "steps": 5, "sampler_type": sampler, "device": "cpu", "cfg_scale": 2.5, "batch_cfg": True, **inputs}
    noise = initial_noise(4, 8, model.latent_frames)[None]
    highest = level if start else 100.0 if sampler in K_STEPS else 1.0
    with torch.no_grad():
        front_door = library.sample_k if objective == "v" else library.sample_rf
        theirs = front_door(model.model.model, noise, sigma_max=highest, **common)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_fresh_noise_is_standard_normal_and_every_clips_own():
    noises = ClipNoise([1, 2], 16, 500, "cpu")
    first, second = noises(), noises(torch.tensor(3.0), torch.tensor(2.0))
    assert torch.equal(first[0], initial_noise(1, 16, 500)) and not torch.allclose(first, second)
    stacked = torch.stack([first, second]).flatten(1)
    assert abs(float(stacked.mean())) < 0.02 and float(stacked.std()) == pytest.approx(1, abs=0.02)
    assert abs(float(torch.corrcoef(torch.stack([*first.flatten(1), *second.flatten(1)]))[0, 1:].abs().max())) < 0.05


def test_a_stochastic_samplers_clips_are_distributed_as_with_the_brownian_tree():
    """On data that are N(0, 1) the perfect denoiser is known; both noises must give unit variance."""

    def denoiser(x, sigma):
        return x / (1 + sigma[:, None, None] ** 2)

    sigmas = k_diffusion.sampling.get_sigmas_polyexponential(25, 0.01, 50.0)
    start = torch.randn(8, 8, 200, generator=torch.Generator().manual_seed(0)) * 50
    ours = k_diffusion.sampling.sample_dpmpp_3m_sde(denoiser, start, sigmas, disable=True, noise_sampler=ClipNoise(range(8), 8, 200, "cpu"))
    theirs = k_diffusion.sampling.sample_dpmpp_3m_sde(denoiser, start, sigmas, disable=True)
    assert float(ours.std()) == pytest.approx(float(theirs.std()), abs=0.03) and float(ours.std()) == pytest.approx(1, abs=0.1)


def test_flow_times_fall_from_any_level():
    for level in (1.0, 0.5, 0.12, 0.1, 0.02):
        times = flow_times(7, level)
        assert times[0] == pytest.approx(level) and times[-1] == 0 and (times.diff() < 0).all()


def test_negative_prompts_and_guidance_change_the_clip(models):
    model = models["v"]
    made = {
        text: sample(model, ["tone"], [0.5], [4], None, Settings(steps=3, negative_prompt=text), "cpu") for text in ("", "rain", "again")
    }
    assert not torch.allclose(made[""], made["rain"], atol=1e-3) and not torch.allclose(made["rain"], made["again"], atol=1e-3)
    with pytest.raises(InvalidValueError, match=r"negative_prompt.*has no effect|has no effect.*negative_prompt"):
        Settings(negative_prompt="rain", cfg_scale=1.0)


def test_samplers_and_levels_that_do_not_fit_are_refused(models):
    with pytest.raises(InvalidValueError, match="does not fit the objective v"):
        sample(models["v"], ["tone"], [0.5], [4], None, Settings(sampler="euler"), "cpu")
    with pytest.raises(InvalidValueError, match=r"init_noise_level.*0 … 1|0 … 1.*init_noise_level|out of range"):
        settings = Settings(initialize_audio=True, init_noise_level=80.0)
        sample(models["v"], ["tone"], [0.5], [4], torch.zeros(1, 8, models["v"].latent_frames), settings, "cpu")


def test_bfloat16_stays_close_and_keeps_the_rotary_angles():
    exact, rounded = tiny("v"), tiny("v")
    rounded.use_bfloat16()
    transformer = rounded.model.model.model.transformer
    assert transformer.rotary_pos_emb.inv_freq.dtype == torch.float32 and transformer.project_in.weight.dtype == torch.bfloat16
    settings = Settings(steps=6)
    one, other = (sample(model, ["tone", "rain"], [0.5, 0.5], [4, 5], None, settings, "cpu") for model in (exact, rounded))
    error = float((one - other).std() / one.std())
    assert 0 < error < 0.05 and other.dtype == torch.float32
    noise = torch.zeros(1, 8, exact.latent_frames)
    point, highest = starting_point(noise, None, 0.3, "v-ddim")
    assert point is noise and highest == 1.0
