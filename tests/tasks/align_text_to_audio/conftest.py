"""A small model whose layers all have a say, gold clips, and pairs of them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, manifest
from core.context import Context
from tasks.align_text_to_audio.clips import Data
from tasks.align_text_to_audio.spec import Request, Settings
from tasks.align_text_to_audio.stage import run
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.codec import FrontEnd

RATE = 16000
LONG = "Sound of a dog, " + ", ".join(["internationalization"] * 14)  # 318 characters, 18 words


def small_model(objective="v", seed=0, depth=2, latent_dim=4, canvas_s=0.4, width=64):
    """A model of random weights; the library starts branches at zero, where neither layers nor adapters would have any effect."""
    torch.manual_seed(seed)
    front_end = FrontEnd(mels=16, griffin_lim_iterations=4)
    config = text_to_audio.embedded_config(front_end, canvas_s, latent_dim, width, depth, objective)
    model = text_to_audio.TextToAudio(text_to_audio.with_front_end(config, front_end, ["sound", "of", "a", "dog"]))
    with torch.no_grad():
        for part in model.model.model.parameters():
            part += 0.02 * torch.randn(part.shape)
    return model


def silent(output, root):
    return Context(output, root, threads=1, emit=lambda kind, values: None)


def random_data(model, pairs=6, seed=1):
    """Latents without a sound behind them: winners, then losers, which are gold clips too."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(2 * pairs, model.model.io_channels, model.latent_frames, generator=generator)
    prompts = [f"Sound of a dog {number}" for number in range(pairs)]
    return Data(
        latents, pairs, gold=list(range(pairs)), gold_captions=[[prompt] for prompt in prompts], gold_seconds=[0.4] * pairs,
        winners=list(range(pairs)), losers=list(range(pairs, 2 * pairs)), prompts=prompts, seconds=[0.4] * pairs,
    )  # fmt: skip


@pytest.fixture
def data_root(tmp_path):
    """Three gold clips with captions, two generated clips for each, the table of pairs, a model for each objective."""
    golds, pairs = [], []
    for number in range(3):
        for kind, count in (("caption", 1), ("generate", 2)):
            for variant in range(count):
                noise = np.random.default_rng(100 * number + variant + 10 * (kind == "generate")).standard_normal(RATE * 2 // 5) * 0.1
                tone = 0.3 * np.sin(2 * np.pi * (400 + 300 * number) * np.arange(len(noise)) / RATE) if kind == "caption" else 0.0
                audio.write(tmp_path / f"stages/{kind}/aa/audio/{number}{variant}.wav", (noise * 0.2 + tone).astype(np.float32), RATE)
        path, gold_id = f"stages/caption/aa/audio/{number}0.wav", f"{number:016x}"
        parameters = {"captions": [LONG, f"a dog {number}"]}
        golds.append(manifest.row(gold_id, path, "gold", label="dog", split="train", duration_s=0.4, parameters=parameters))
        for variant in range(2):
            pairs.append({
                "preferred": path, "not_preferred": f"stages/generate/aa/audio/{number}{variant}.wav", "gold_id": gold_id, "split": "train",
                "captions": LONG if variant else "Sound of a dog", "seconds": 0.4,
            })  # fmt: skip
    manifest.write(tmp_path / "stages/caption/aa", manifest.frame(golds))
    (tmp_path / "stages/make_pairs/aa").mkdir(parents=True)
    pd.DataFrame(pairs).to_parquet(tmp_path / "stages/make_pairs/aa/pairs.parquet")
    for objective in ("v", "rectified_flow"):
        folder = tmp_path / "stages/train_text_to_audio" / objective
        folder.mkdir(parents=True)
        small_model(objective).save(folder)
    return tmp_path


@pytest.fixture
def align(data_root):
    """Run the stage; returns its result, folder, curves and the metrics it reported."""

    def aligned(name="model", model="v", interrupt=None, pairs="stages/make_pairs/aa", **settings):
        output = data_root / "stages/align_text_to_audio" / name
        output.mkdir(parents=True, exist_ok=True)
        metrics = []

        def emit(kind, values):
            if kind == "metric":
                metrics.append(values)
                if interrupt:
                    interrupt(values)

        chosen = Settings(**{"steps": 3, "batch_pairs": 4, **settings})
        start = model if "/" in model else f"stages/train_text_to_audio/{model}"
        request = Request(start, "stages/caption/aa", pairs if chosen.method == "dpo" else "", chosen)
        result = run(request, Context(output, data_root, threads=1, emit=emit))
        return result, output, json.loads((output / "curves.json").read_text()), metrics

    return aligned
