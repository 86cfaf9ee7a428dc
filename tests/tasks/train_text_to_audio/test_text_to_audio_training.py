import json
import math

import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.codec import FrontEnd, Mel
from tasks.text_to_audio.prompts import WordConditioner, build_vocabulary, words_of
from tasks.train_text_to_audio import training
from tasks.train_text_to_audio.spec import Request, Settings
from tasks.train_text_to_audio.stage import run
from tasks.training import loop

RATE = 16000
SMALL = {"autoencoder_steps": 6, "diffusion_steps": 6, "batch_clips": 4, "width": 64, "depth": 1, "latent_dim": 8}


@pytest.fixture
def data_root(tmp_path):
    """Four gold clips of one second with captions, four synthetic sounds."""
    for folder, count in (("stages/caption/aa", 4), ("stages/synthesize_captioned/aa", 4)):
        rows = []
        for number in range(count):
            tone = 0.3 * np.sin(2 * np.pi * (200 + 150 * number) * np.arange(RATE) / RATE)
            path = f"{folder}/audio/{number}.wav"
            audio.write(tmp_path / path, tone.astype(np.float32), RATE)
            gold = "caption" in folder.split("/")[1] and folder.startswith("stages/caption")
            values = (
                {"parameters": {"captions": [f"tone {number} humming", f"a tone {number}"]}}
                if gold
                else {"caption": f"steady tone {number}"}
            )
            row = manifest.row(
                f"{folder[7:9]}{number:014d}", path, "gold", label=f"tone_{number % 2}", split="train", duration_s=1.0, **values
            )
            rows.append(row)
        manifest.write(tmp_path / folder, manifest.frame(rows))
    return tmp_path


def train(root, name="model", interrupt=None, **settings):
    output = root / "stages" / "train_text_to_audio" / name
    output.mkdir(parents=True, exist_ok=True)

    def emit(kind, values):
        if kind == "metric" and interrupt:
            interrupt(values)

    context = Context(output, root, threads=1, emit=emit)
    request = Request("stages/caption/aa", "stages/synthesize_captioned/aa", Settings(**{**SMALL, **settings}))
    return run(request, context), output


@pytest.mark.parametrize("objective", ["v", "rectified_flow"])
def test_training_gives_a_folder_that_stable_audio_tools_and_we_can_load(data_root, objective):
    result, output = train(data_root, objective=objective)
    assert result.gold_clips == 4 and result.pretraining_clips == 4 and math.isfinite(result.diffusion_loss)
    assert not (output / loop.CHECKPOINT).exists()
    loaded = text_to_audio.load(output)
    assert loaded.model.diffusion_objective == objective and loaded.canvas_s >= 1.0
    latents = loaded.encode(torch.zeros(1, RATE))
    assert latents.shape == (1, 8, loaded.latent_frames)
    from stable_audio_tools.models.factory import create_model_from_config

    created = create_model_from_config(json.loads((output / "model_config.json").read_text()))
    assert type(created).__name__ == "ConditionedDiffusionModelWrapper"


def test_same_request_gives_the_same_bytes_and_losses_fall(data_root):
    first, second = train(data_root, "one", autoencoder_steps=30)[1], train(data_root, "two", autoencoder_steps=30)[1]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    curve = json.loads((first / "curves.json").read_text())["autoencoder"]
    assert np.mean(curve[-5:]) < 0.8 * np.mean(curve[:5])


def test_killed_training_goes_on_and_ends_as_if_nothing_had_happened(data_root, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    _, whole = train(data_root, "whole", diffusion_steps=30)

    class Killed(Exception):
        pass

    def kill(values):
        if values["name"] == "diffusion_loss":
            raise Killed

    with pytest.raises(Killed):
        train(data_root, "part", interrupt=kill, diffusion_steps=30)
    assert (data_root / "stages/train_text_to_audio/part" / loop.CHECKPOINT).exists()
    _, part = train(data_root, "part", diffusion_steps=30)
    assert (part / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_prompts_arrive_whole_and_words_are_told_apart():
    text = "Sound of a dog bark, in a back yard"
    vocabulary = build_vocabulary([text, "rain on a roof"])
    conditioner = WordConditioner(vocabulary, 16)
    names = {number: word for word, number in conditioner.index.items()}
    tokens = conditioner.tokens([text])[0]
    expected = ["sound", "of", "a", "dog", "bark", "in", "a", "back", "yard"]
    assert [names[int(token)] for token in tokens if token] == words_of(text) == expected
    embedded, mask = conditioner(["dog", "rain"])
    assert mask.sum() == 2 and not torch.allclose(embedded[0, 0], embedded[1, 0])
    assert conditioner.token("unheard") == conditioner.token("unheard") and conditioner.token("unheard") not in names


def test_diffusion_loss_is_the_objective_of_the_paper(data_root):
    _, output = train(data_root)
    loaded = text_to_audio.load(output)
    latents = torch.randn(2, 8, loaded.latent_frames)
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, x, t, cond, cfg_dropout_prob, use_checkpointing):
            seen.update(x=x, t=t, prompts=cond["prompt"][0])
            return torch.zeros_like(x)

        def __call__(self, *args, **kwargs):
            return self.forward(*args, **kwargs)

    conditioner = loaded.model.conditioner
    holder = type("Holder", (), {"model": None, "conditioning": loaded.conditioning})()
    holder.model = Spy()
    holder.model.conditioner = conditioner
    for objective in ("v", "rectified_flow"):
        generator = torch.Generator().manual_seed(3)
        loss = training.diffusion_loss(holder, latents, ["a", "b"], [1.0, 1.0], Settings(objective=objective), generator)
        generator = torch.Generator().manual_seed(3)
        t = torch.rand(2, generator=generator).numpy()[:, None, None]
        noise = torch.randn(latents.shape, generator=generator).numpy()
        z = latents.numpy()
        if objective == "v":
            expected_x = np.cos(np.pi * t / 2) * z + np.sin(np.pi * t / 2) * noise
            target = np.cos(np.pi * t / 2) * noise - np.sin(np.pi * t / 2) * z
        else:
            expected_x, target = (1 - t) * z + t * noise, noise - z
        assert np.allclose(seen["x"].numpy(), expected_x, atol=1e-5)
        assert float(loss) == pytest.approx(float((target**2).mean()), rel=1e-4)


def test_mel_front_end_gives_back_pitch_and_level():
    front_end = FrontEnd(mean=0.0, std=1.0)
    mel = Mel(front_end)
    tone = torch.sin(2 * math.pi * 500 * torch.arange(RATE) / RATE)[None] * 0.3
    back = mel.synthesise(mel.analyse(tone, 64), RATE)[0].numpy()
    middle = back[2000:14000]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) * RATE / len(middle)
    assert peak == pytest.approx(500, abs=25)
    assert 20 * np.log10(np.std(middle) / (0.3 / np.sqrt(2))) == pytest.approx(0, abs=2.5)


def test_validation_clips_and_broken_models_are_refused(data_root, tmp_path):
    table = manifest.read(data_root / "stages/caption/aa")
    table.loc[0, "split"] = "val"
    manifest.write(data_root / "stages/caption/aa", table)
    with pytest.raises(InvalidValueError, match="not train clips"):
        train(data_root)
    with pytest.raises(InvalidValueError, match=r"model_config\.json is missing"):
        text_to_audio.load(tmp_path / "nothing")


def test_pretrained_folder_is_loaded_strictly_and_passed_on(data_root):
    _, trained = train(data_root)
    result, output = train(data_root, "passed", pretrained=str(trained))
    assert (output / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes() and result.parameters > 0
    config = json.loads((trained / "model_config.json").read_text())
    config["model"]["diffusion"]["config"]["depth"] = 2
    (trained / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidValueError, match="do not fit"):
        train(data_root, "bad", pretrained=str(trained))


def test_model_without_gold_clips_is_as_long_as_the_dataset_and_knows_no_gold_word(data_root):
    longest = manifest.read(data_root / "stages/caption/aa").assign(duration_s=1.5)
    longest.loc[0, ["split", "duration_s"]] = ["test", 9.0]  # a test clip's length decides nothing
    manifest.write(data_root / "stages/prepare/aa", longest)
    output = data_root / "stages" / "train_text_to_audio" / "base"
    output.mkdir(parents=True)
    request = Request("", "stages/synthesize_captioned/aa", Settings(**SMALL), lengths="stages/prepare/aa")
    result = run(request, Context(output, data_root, threads=1))
    loaded = text_to_audio.load(output)
    assert result.gold_clips == 0 and result.pretraining_clips == 4 and 1.5 <= loaded.canvas_s < 1.6
    prompts = loaded.model.conditioner.conditioners["prompt"]
    assert "humming" not in prompts.index and prompts.token("humming") != prompts.token("barking")
    with pytest.raises(InvalidValueError, match=r"train_text_to_audio\.gold"):
        Request("", "stages/synthesize_captioned/aa")
    fixed = data_root / "stages" / "train_text_to_audio" / "fixed"
    fixed.mkdir(parents=True)
    given = run(Request("", "stages/synthesize_captioned/aa", Settings(**SMALL, canvas_s=2.0)), Context(fixed, data_root, threads=1))
    assert 2.0 <= given.canvas_s < 2.1, "no dataset is asked"
