# mypy: ignore-errors
"""The measured side of ``synthio.speed``: runs in a stage's own environment and does what the lines on its standard input say.

``python -m benchmarks.synthio_child generate|filter FOLDER`` prepares (imports, model, clips), answers ``ready``, and then answers each
line with the seconds that its work took, by the clock and of the processor: ``theirs``, ``warm`` (two clips of
that), or ``ours PRECISION SHARD…``.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

from core import audio, manifest
from core.context import Context

CLIPS, CLIP_S, STEPS, CFG = {"generate": 8, "filter": 48}, 5.0, 30, 3.0
SHARDS = 2
NAMES = ("dog bark", "rain", "sea waves", "clock tick")


def write_clips(root: Path, folder: str, rate_hz: int, count: int) -> None:
    """Write the clips that are generated from, or filtered."""
    rows = []
    for number in range(count):
        rng, path = np.random.default_rng(number), f"{folder}/audio/{number}.wav"
        audio.write(root / path, (0.1 * rng.standard_normal(round(CLIP_S * rate_hz))).astype(np.float32), rate_hz)
        label = NAMES[number % len(NAMES)]
        values = {
            "label": label.replace(" ", "_"),
            "split": "train",
            "duration_s": CLIP_S,
            "caption": f"a {label} {number} in the distance",
        }
        rows.append(manifest.row(f"{number:016x}", path, "gold", **values))
    manifest.write(root / folder, manifest.frame(rows))


def context_for(root: Path, stage: str) -> Context:
    """Return the context of a fresh run of a stage."""
    output = root / "stages" / stage / "bench"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    return Context(output, root, threads=torch.get_num_threads(), final=f"stages/{stage}/bench", emit=lambda kind, values: None)


class Generate:
    """tasks/generate against ``generate_diffusion_cond`` file by file."""

    def __init__(self, root: Path) -> None:
        text_to_audio = importlib.import_module("tasks.text_to_audio.model")
        codec = importlib.import_module("tasks.text_to_audio.codec")

        self.root, folder = root, root / "stages/train_text_to_audio/bench"
        torch.manual_seed(0)
        front_end = codec.FrontEnd()
        config = text_to_audio.embedded_config(front_end, CLIP_S, 64, 192, 4, "v")
        words = [word for name in NAMES for word in name.split()]
        model = text_to_audio.TextToAudio(text_to_audio.with_front_end(config, front_end, words))
        for name, weight in model.model.named_parameters():
            if weight.ndim > 1 and "pretransform" not in name:
                torch.nn.init.normal_(weight, std=0.02)  # the fresh transformer's outputs are all zero
        folder.mkdir(parents=True)
        model.save(folder)
        write_clips(root, "stages/caption/bench", front_end.sample_rate_hz, CLIPS["generate"])
        self.model = text_to_audio.load(folder)
        self.inside = 0.0

    def theirs(self, clips: int | None = None) -> None:
        """Do the original's loop: one clip at a time, its text encoded each time, peak-normalised, written."""
        from stable_audio_tools.inference.generation import generate_diffusion_cond

        wrapped, mel, rate_hz = self.model.model, self.model.mel, self.model.sample_rate_hz
        (self.root / "theirs").mkdir(exist_ok=True)
        for number, row in enumerate(manifest.read(self.root / "stages/caption/bench")[:clips].itertuples()):
            conditioning = [{"prompt": row.caption, "seconds_start": 0, "seconds_total": row.duration_s}]
            size = int(self.model.config["sample_size"])
            with torch.no_grad():
                made = generate_diffusion_cond(
                    wrapped, steps=STEPS, cfg_scale=CFG, conditioning=conditioning, sample_size=size, seed=number, device="cpu",
                    sampler_type="v-ddim",
                )  # fmt: skip
                sound = mel.synthesise(made.float(), round(row.duration_s * rate_hz))[0].numpy()
            audio.write(self.root / "theirs" / f"{number}.wav", sound / max(1e-9, np.abs(sound).max()), rate_hz)

    def ours(self, precision: str, shards: list[int]) -> None:
        """Run the stage's own code on some of its shards, the model's loading included; with all of them, combine them too."""
        stage = importlib.import_module("tasks.generate.stage")
        spec = importlib.import_module("tasks.generate.spec")

        work, self.inside = stage._Work.generate, 0.0

        def timed(*arguments):
            started = time.process_time()
            rows = work(*arguments)
            self.inside += time.process_time() - started
            return rows

        settings = spec.Settings(num_iters=1, steps=STEPS, cfg_scale=CFG, sampler="v-ddim", precision=precision, batch_size=4)
        request = spec.Request("stages/caption/bench", "stages/train_text_to_audio/bench", SHARDS, settings)
        context = context_for(self.root, "generate")
        stage._Work.generate = timed
        try:
            stage.run_shards(request, context, shards)
        finally:
            stage._Work.generate = work
        if len(shards) == SHARDS and stage.run(request, context).clips != CLIPS["generate"]:
            raise RuntimeError("clips are missing")


class Filter:
    """tasks/clap_filter against laion_clap file by file; the hub cache that HF_HOME names holds a tokenizer."""

    def __init__(self, root: Path) -> None:
        loading = importlib.import_module("tasks.clap_model.loading")

        self.root = root
        torch.manual_seed(0)
        model = loading.PublishedClap("HTSAT-tiny", "roberta", "cpu")
        torch.save({"state_dict": model.clap.state_dict()}, root / "clap.pt")
        write_clips(root, "stages/generate/bench", 16000, CLIPS["filter"])
        import laion_clap

        with loading._fresh_text_tower():
            self.theirs_model = laion_clap.CLAP_Module(enable_fusion=False, device="cpu", amodel="HTSAT-tiny")
        self.theirs_model.model.load_state_dict(model.clap.state_dict())
        self.inside = 0.0

    def theirs(self, clips: int | None = None) -> None:
        """Do the original's loop: for each file its label's text and its sound, one at a time."""
        for row in manifest.read(self.root / "stages/generate/bench")[:clips].itertuples():
            text = f"Sound of a {row.label.replace('_', ' ')}"
            with torch.no_grad():
                texts = self.theirs_model.get_text_embedding([text], use_tensor=True)
                sounds = self.theirs_model.get_audio_embedding_from_filelist([str(self.root / row.path)], use_tensor=True)
                float(torch.sigmoid(self.theirs_model.model.logit_scale_a.exp() * (sounds @ texts.T))[0, 0])

    def ours(self, precision: str, shards: list[int]) -> None:
        """Run the stage's own code on some of its shards, the model's loading included; with all of them, combine them too."""
        stage = importlib.import_module("tasks.clap_filter.stage")
        spec = importlib.import_module("tasks.clap_filter.spec")

        settings = spec.Settings(score="cosine", audio_model="HTSAT-tiny", precision=precision)
        request = spec.Request("stages/generate/bench", str(self.root / "clap.pt"), SHARDS, settings)
        context = context_for(self.root, "clap_filter")
        stage.run_shards(request, context, shards)
        if len(shards) == SHARDS and sum(vars(stage.run(request, context))[name] for name in ("accepted", "rejected")) != CLIPS["filter"]:
            raise RuntimeError("clips are missing")


def main(kind: str, folder: str) -> None:
    """Prepare, then work line by line."""
    channel, sys.stdout = sys.stdout, sys.stderr  # the library prints
    work = {"generate": Generate, "filter": Filter}[kind](Path(folder))

    def answer(**values: object) -> None:
        channel.write(json.dumps(values) + "\n")
        channel.flush()

    answer(ready=True)
    for line in sys.stdin:
        words = line.split()
        # What a stage switches on for its process must not help the other side.
        torch.set_float32_matmul_precision("highest")
        started, worked = time.perf_counter(), time.process_time()
        if words[0] in ("theirs", "warm"):
            work.theirs(2 if words[0] == "warm" else None)
        else:
            work.ours(words[1], [int(word) for word in words[2:]])
        answer(seconds=time.perf_counter() - started, processor=time.process_time() - worked, inside=work.inside)


if __name__ == "__main__":
    main(*sys.argv[1:])
