"""Fits the compact model, or fine-tunes a published one; the step is chosen on held-out gold clips."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core import atomic, audio, manifest
from core.context import Context
from tasks.clap_model.loading import CompactClap, CompactConfig, PublishedClap, load
from tasks.clap_model.windows import template, windows
from tasks.matmul import use_fast_float32
from tasks.train_clap.contrastive_loss import contrastive_loss
from tasks.train_clap.spec import Request, Result, Settings


@dataclass
class Clip:
    """One training clip."""

    clip_id: str
    label: str
    sound: audio.Samples
    texts: list[str]


def read(folder: Path, context: Context, rate_hz: int, gold: bool) -> list[Clip]:
    """Load a dataset folder's clips; gold clips are told by their label, synthetic sounds by their caption.

    Raises:
        InvalidValueError: a clip is not a train clip.
    """
    table = manifest.accepted(manifest.read(folder)).sort_values("clip_id")
    manifest.require_train(table, f"train_clap.{'gold' if gold else 'pretraining'}")
    clips = []
    for row in table.itertuples():
        texts = [template(row.label), *json.loads(row.parameters).get("captions", [])] if gold else [row.caption]
        clips.append(Clip(row.clip_id, row.label if gold else row.clip_id, audio.load_mono(context.resolve(row.path), rate_hz), texts))
    return clips


def hold_out(clips: list[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Split gold clips class by class by the hash of seed and clip; classes of one or two clips keep all of theirs."""
    kept, held = [], []
    for label in sorted({clip.label for clip in clips}):
        members = sorted((c for c in clips if c.label == label), key=lambda c: hashlib.sha256(f"{seed}/{c.clip_id}".encode()).hexdigest())
        count = min(round(share * len(members)), len(members) - 2) if len(members) > 2 else 0
        held += members[:count]
        kept += members[count:]
    return kept, held


def augmented(clip: Clip, length: int, rng: np.random.Generator) -> audio.Samples:
    """Return a random window of a clip, rolled, with a random gain and a little noise."""
    sound = clip.sound
    if len(sound) < length:
        sound = np.pad(np.tile(sound, length // len(sound)), (0, length - len(sound) * (length // len(sound))))
    start = int(rng.integers(0, len(sound) - length + 1))
    part = np.roll(sound[start : start + length], int(rng.integers(0, length)))
    part = part * 10 ** (rng.uniform(-12, 6) / 20)
    noise = rng.standard_normal(length) * np.sqrt(np.mean(part**2)) * 10 ** (rng.uniform(-40, -10) / 20)
    return (part + noise).astype(np.float32)


@torch.no_grad()
def own_label_ranks(model: CompactClap | PublishedClap, clips: list[Clip], labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each clip the rank of its own label (1 is best) and the cosine with it."""
    model.eval()
    texts = model.text_embedding([template(label) for label in labels])
    length, ranks, cosines = round(model.window_s * model.sample_rate_hz), [], []
    for clip in clips:
        similarity = (model.audio_embedding(windows(clip.sound, length)) @ texts.T).mean(0)
        own = similarity[labels.index(clip.label)]
        ranks.append(int((similarity > own).sum()) + 1)
        cosines.append(float(own))
    model.train()
    return np.array(ranks), np.array(cosines)


def run(request: Request, context: Context) -> Result:
    """Fit, keep the best step, write the checkpoint and what the held-out clips say."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    settings = request.settings
    torch.manual_seed(settings.seed)
    model: CompactClap | PublishedClap
    if settings.start_from:
        model, _ = load(Path(settings.start_from), settings.audio_model, settings.text_model, context.device)
    else:
        model = CompactClap(CompactConfig()).to(context.device)
    gold = read(context.resolve(request.gold), context, model.sample_rate_hz, True)
    others = [] if settings.start_from else read(context.resolve(request.pretraining), context, model.sample_rate_hz, False)
    kept, held = hold_out(gold, settings.holdout_share, settings.seed)
    labels = sorted({clip.label for clip in gold})
    best_step, curve = _fit(model, kept, held or kept, others, labels, settings, context)
    ranks, cosines = own_label_ranks(model, held or kept, labels)
    extra = {"labels": labels, "held_out": {"ranks": ranks.tolist(), "cosines": [round(float(value), 6) for value in cosines]}}
    model.save(context.output, extra)
    atomic.write_json(context.output / "curves.json", curve)
    return Result(
        gold_clips=len(kept), held_out=len(held), held_out_top1=round(float((ranks == 1).mean()), 4), best_step=best_step,
        held_out_top3=round(float((ranks <= 3).mean()), 4), parameters=sum(part.numel() for part in model.parameters()),
    )  # fmt: skip


def _fit(
    model: CompactClap | PublishedClap,
    kept: list[Clip],
    judged: list[Clip],
    others: list[Clip],
    labels: list[str],
    settings: Settings,
    context: Context,
) -> tuple[int, list[dict[str, float]]]:
    """Train; leaves the weights of the step with the best mean reciprocal rank on the judged clips in the model."""
    peak = settings.finetune_rate if settings.start_from else settings.learning_rate
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    rng, best, curve = np.random.default_rng(settings.seed), (-1.0, 0, copy.deepcopy(model.state_dict())), []
    length = round(model.window_s * model.sample_rate_hz)
    model.train()
    for step in range(settings.steps):
        warm, turn = min(1.0, (step + 1) / 30), 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * (0.05 + 0.95 * turn)
        torch.manual_seed(settings.seed * 7_919 + step)  # dropout and drop-path
        loss = _batch_loss(model, kept, others, settings, rng, length, context.device)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        context.progress(step + 1, settings.steps, "steps")
        if (step + 1) % settings.evaluate_every == 0 or step + 1 == settings.steps:
            ranks, _ = own_label_ranks(model, judged, labels)
            score = float((1 / ranks).mean())
            curve.append({"step": step + 1, "loss": round(float(loss.detach()), 5), "held_out_mrr": round(score, 5)})
            context.metric("held_out_mrr", score, step + 1)
            if score > best[0]:
                best = (score, step + 1, copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[2])
    return best[1], curve


def _batch_loss(
    model: CompactClap | PublishedClap,
    kept: list[Clip],
    others: list[Clip],
    settings: Settings,
    rng: np.random.Generator,
    length: int,
    device: str,
) -> torch.Tensor:
    half = settings.batch_clips // 2 if others else settings.batch_clips
    batch = [kept[i] for i in rng.integers(0, len(kept), half)] + [
        others[i] for i in rng.integers(0, len(others), settings.batch_clips - half)
    ]
    sounds = torch.from_numpy(np.stack([augmented(clip, length, rng) for clip in batch])).to(device)
    # Gold clips mostly meet the template, the text they will be scored against.
    texts = [clip.texts[0] if rng.random() < 0.6 else clip.texts[int(rng.integers(len(clip.texts)))] for clip in batch]
    names = {name: number for number, name in enumerate(sorted({clip.label for clip in batch}))}
    groups = torch.tensor([names[clip.label] for clip in batch], device=device)
    scale = model.clap.logit_scale_a.exp().clamp(max=100.0)
    return contrastive_loss(model.audio_embedding(sounds), model.text_embedding(texts), scale, groups)
