"""Models in the format of Stable Audio Open: a miniature checkpoint, a tiny T5 in a local hub cache, everything written by the test."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from stable_audio_tools.models.factory import create_model_from_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.text_to_audio import model as text_to_audio
from tasks.train_text_to_audio.pretrained import folder_of
from tasks.train_text_to_audio.spec import Request, Settings
from tasks.train_text_to_audio.stage import run

RATE, SIZE = 44100, 8192
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORDS = ["sound", "of", "a", "dog", "rain", "loud", *[f"word{number}" for number in range(1100)]]


def config():
    """Return Stable Audio Open's configuration with every width made small."""
    blocks = {"channels": 4, "c_mults": [1, 2], "strides": [8, 16], "use_snake": True}
    autoencoder = {
        "encoder": {"type": "oobleck", "requires_grad": False, "config": {"in_channels": 2, "latent_dim": 8, **blocks}},
        "decoder": {"type": "oobleck", "config": {"out_channels": 2, "latent_dim": 4, "final_tanh": False, **blocks}},
        "bottleneck": {"type": "vae"}, "latent_dim": 4, "downsampling_ratio": 128, "io_channels": 2,
    }  # fmt: skip
    numbers = {"type": "number", "config": {"min_val": 0, "max_val": 512}}
    configs = [
        {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-small", "max_length": 24}},
        {"id": "seconds_start", **numbers}, {"id": "seconds_total", **numbers},
    ]  # fmt: skip
    diffusion = {
        "cross_attention_cond_ids": ["prompt", "seconds_start", "seconds_total"], "global_cond_ids": ["seconds_start", "seconds_total"],
        "type": "dit",
        "config": {
            "io_channels": 4, "embed_dim": 512, "depth": 1, "num_heads": 8, "cond_token_dim": 512, "global_cond_dim": 1024,
            "project_cond_tokens": False, "transformer_type": "continuous_transformer",
        },
    }  # fmt: skip
    model = {
        "pretransform": {"type": "autoencoder", "iterate_batch": True, "config": autoencoder},
        "conditioning": {"configs": configs, "cond_dim": 512}, "diffusion": diffusion, "io_channels": 4,
    }  # fmt: skip
    return {"model_type": "diffusion_cond", "sample_size": SIZE, "sample_rate": RATE, "audio_channels": 2, "model": model, "training": {}}


def cached(cache, name, write):
    """Write a model's snapshot into a hub cache in the hub client's own layout."""
    folder = cache / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    write(snapshot)
    return snapshot


def write_t5(folder, words=WORDS):
    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    size = {"vocab_size": len(vocabulary), "d_model": 512, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    T5EncoderModel(T5Config(**size)).save_pretrained(folder)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub cache with t5-small and someone/tiny-audio, and the state of the latter as the library itself builds it."""
    cache = tmp_path_factory.mktemp("hub") / "hub"
    t5 = cached(cache, "t5-small", write_t5)
    made = cache.parent / "made"
    made.mkdir()
    # The reference is made by the library's own classes, so that names and shapes are its; in a folder where they find their T5.
    before = Path.cwd()
    shutil.copytree(t5, cache.parent / "t5-small")
    os.chdir(cache.parent)
    try:
        torch.manual_seed(1)
        model = create_model_from_config(config())
    finally:
        os.chdir(before)
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "pretransform" not in name:
            torch.nn.init.normal_(weight, std=0.1)
    save_file({name: part.contiguous() for name, part in model.state_dict().items()}, str(made / "model.safetensors"))
    embedded, mask = model.conditioner.conditioners["prompt"](["sound of a dog", "rain"], "cpu")
    save_file({"embedded": embedded.contiguous(), "mask": mask}, str(made / "reference.safetensors"))
    (made / "model_config.json").write_text(json.dumps(config()))

    def write(snapshot):
        for name in ("model.safetensors", "model_config.json"):
            (snapshot / name).write_bytes((made / name).read_bytes())

    cached(cache, "someone/tiny-audio", write)
    return {"cache": cache, "made": made, "t5": t5}


@pytest.fixture(autouse=True)
def local_hub(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub["cache"]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def take(root, pretrained):
    output = root / "stages/train_text_to_audio/aa"
    output.mkdir(parents=True)
    context = Context(output, root, threads=1, emit=lambda kind, values: None)
    return run(Request("stages/caption/aa", "stages/none/aa", Settings(pretrained=pretrained)), context), output


@pytest.mark.parametrize("named", ["folder", "hub name", "hub name and commit"])
def test_a_published_model_is_taken_from_a_folder_or_the_hub_cache(hub, tmp_path, named):
    names = {"folder": str(hub["made"]), "hub name": "someone/tiny-audio", "hub name and commit": f"someone/tiny-audio@{COMMIT}"}
    result, output = take(tmp_path, names[named])
    assert result.canvas_s == pytest.approx(SIZE / RATE, abs=1e-3)
    again = text_to_audio.load(output)
    saved = again.model.state_dict()
    published = load_file(str(hub["made"] / "model.safetensors"))
    assert set(saved) == set(published) and all(torch.equal(saved[key], published[key]) for key in published)
    assert not [key for key in saved if "prompt.model" in key], "the frozen text encoder is not saved"
    assert json.loads((output / "model_config.json").read_text())[text_to_audio.TEXT_ENCODERS]["t5-small"].startswith("0123")


def test_prompts_are_embedded_as_the_library_embeds_them(hub):
    loaded = text_to_audio.load(hub["made"])
    encoder = loaded.model.conditioner.conditioners["prompt"]
    embedded, mask = encoder(["sound of a dog", "rain"], "cpu")
    reference = load_file(str(hub["made"] / "reference.safetensors"))
    assert torch.equal(mask, reference["mask"]) and torch.allclose(embedded, reference["embedded"], atol=2e-3)
    assert embedded.shape == (2, 24, 512) and not torch.allclose(embedded[0, 0], embedded[1, 0], atol=1e-2)
    alone, _ = encoder(["rain"], "cpu")
    assert torch.equal(alone[0], embedded[1])
    with pytest.raises(InvalidValueError, match="at most 24 tokens"):
        encoder(["a dog " * 20], "cpu")


def test_stereo_sound_goes_through_the_waveform_autoencoder_and_comes_back_mono(hub):
    loaded = text_to_audio.load(hub["made"])
    assert loaded.sample_rate_hz == RATE and loaded.latent_frames == SIZE // 128 and loaded.mel is None
    latents = loaded.encode(torch.randn(2, 5000) * 0.1)
    assert latents.shape == (2, 4, SIZE // 128)
    assert loaded.decode(latents, 5000).shape == (2, 5000)


def test_it_generates_clips_of_the_gold_clips_duration(hub, tmp_path):
    from tasks.generate.spec import Request as GenerateRequest
    from tasks.generate.spec import Settings as GenerateSettings
    from tasks.generate.stage import run as combine
    from tasks.generate.stage import run_shards

    take(tmp_path, "someone/tiny-audio")
    path = "stages/caption/aa/audio/0.wav"
    audio.write(tmp_path / path, (0.1 * np.sin(np.arange(4000) * 0.1)).astype(np.float32), 22050)
    row = manifest.row("a" * 16, path, "gold", label="dog", split="train", duration_s=4000 / 22050, caption="sound of a dog")
    manifest.write(tmp_path / "stages/caption/aa", manifest.frame([row]))
    output = tmp_path / "stages/generate/aa"
    output.mkdir(parents=True)
    context = Context(output, tmp_path, threads=1, final="stages/generate/aa", emit=lambda kind, values: None)
    settings = GenerateSettings(
        num_iters=2, steps=2, sampler="dpmpp-3m-sde", initialize_audio=True, init_noise_level=5.0, negative_prompt="rain"
    )
    request = GenerateRequest("stages/caption/aa", "stages/train_text_to_audio/aa", 1, settings)
    run_shards(request, context, [0])
    assert combine(request, context).clips == 2
    table = manifest.read(output)
    assert set(table["sample_rate_hz"]) == {RATE} and table["duration_s"].iloc[0] == pytest.approx(4000 / 22050, abs=1 / RATE)


def wrap(state, kind):
    if kind == "data parallel":
        return {f"module.{name}": value for name, value in state.items()}
    if kind == "model. in front":
        return {f"model.{name}": value for name, value in state.items()}
    inner = {f"diffusion.{name}": torch.zeros_like(value) if name.startswith("model.") else value for name, value in state.items()}
    averaged = {
        f"diffusion_ema.ema_model.{name.removeprefix('model.')}": value for name, value in state.items() if name.startswith("model.")
    }
    return {**inner, **averaged, "diffusion_ema.initted": torch.tensor(True), "diffusion_ema.step": torch.tensor(5)}


@pytest.mark.parametrize("kind", ["data parallel", "model. in front", "Lightning with averaged weights"])
def test_wrapped_checkpoints_load_with_the_averaged_weights(hub, tmp_path, kind):
    published = load_file(str(hub["made"] / "model.safetensors"))
    torch.save({"state_dict": wrap(published, kind), "epoch": 3}, tmp_path / "model.ckpt")
    (tmp_path / "model_config.json").write_text(json.dumps(config()))
    state = text_to_audio.load(tmp_path).model.state_dict()
    assert all(torch.equal(state[name], published[name]) for name in published)


def test_what_does_not_fit_is_named_and_never_skipped(hub, tmp_path):
    state = load_file(str(hub["made"] / "model.safetensors"))
    name = "model.model.transformer.project_in.weight"
    (tmp_path / "model_config.json").write_text(json.dumps(config()))
    save_file({**state, name: torch.zeros(3, 3)}, str(tmp_path / "model.safetensors"))
    with pytest.raises(InvalidValueError, match=r"1 of another shape: model\.model\.transformer\.project_in\.weight \(3, 3\)"):
        text_to_audio.load(tmp_path)
    save_file({key: value for key, value in state.items() if key != name}, str(tmp_path / "model.safetensors"))
    with pytest.raises(InvalidValueError, match="1 missing"):
        text_to_audio.load(tmp_path)
    save_file({**state, "stray": torch.zeros(1)}, str(tmp_path / "model.safetensors"))
    with pytest.raises(InvalidValueError, match="1 unknown: stray"):
        text_to_audio.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"state_dict": {}, "code": pytest.raises}, tmp_path / "model.ckpt")
    with pytest.raises(InvalidValueError, match="cannot be loaded safely"):
        text_to_audio.load(tmp_path)


def test_a_folder_of_the_encoders_name_is_not_picked_up(hub, tmp_path, monkeypatch):
    (tmp_path / "t5-small").mkdir()
    (tmp_path / "t5-small" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    encoder = text_to_audio.load(hub["made"]).model.conditioner.conditioners["prompt"]
    assert encoder.revision.startswith("0123") and len(encoder.tokenizer) > 1000
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(InvalidValueError, match=r"not in the local hub cache.*hf download t5-small.*HF_HOME"):
        text_to_audio.load(hub["made"])


def test_empty_tokenizers_and_unknown_encoders_are_refused(hub, tmp_path, monkeypatch):
    cached(tmp_path / "hub", "t5-small", lambda folder: write_t5(folder, WORDS[:3]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InvalidValueError, match="empty tokenizer"):
        text_to_audio.load(hub["made"])
    other = config()
    other["model"]["conditioning"]["configs"][0]["config"]["t5_model_name"] = "someone/else"
    with pytest.raises(InvalidValueError, match="unknown text encoder"):
        text_to_audio.TextToAudio(other)


def test_names_that_are_no_model_say_what_would_be(tmp_path):
    with pytest.raises(InvalidValueError, match="hf download someone/else"):
        folder_of("someone/else")
    for name in (str(tmp_path / "nothing"), "../up", "a/b/c"):
        with pytest.raises(InvalidValueError, match="no such model"):
            folder_of(name)
