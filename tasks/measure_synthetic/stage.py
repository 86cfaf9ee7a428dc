"""Writes ``measures.json``, ``nearest.parquet`` (every synthetic clip), ``offenders.json`` and ``.parquet``, and ``leaks.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import atomic, frechet, manifest
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.clap_model.embedding import Embedder
from tasks.clap_model.loading import load as load_model
from tasks.contrastive.clips import ClipEmbedder
from tasks.measure_synthetic import diversity, duplicates, features, lineage
from tasks.measure_synthetic.features import Clip, Sounds, unit
from tasks.measure_synthetic.spec import Request, Result, Settings

DIGITS = 6
COLUMNS = (
    "kind",
    "clip_id",
    "label",
    "path",
    "other_id",
    "other_label",
    "other_path",
    "correlation",
    "lag_s",
    "waveform",
    "cosine",
    "duplicate",
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass
class Sets:
    """The clips that are measured, each sorted by clip_id."""

    gold: list[Clip]
    synthetic: list[Clip]
    reference: list[Clip]
    """Train clips that were not drawn."""
    val: list[Clip]


def run(request: Request, context: Context) -> Result:
    """Prove first, then measure.

    Raises:
        InvalidValueError: a leak was found (and ``on_leak`` is ``fail``), a gold clip is no train clip, or a sound cannot be read.
    """
    torch.set_num_threads(context.threads)
    settings, sounds = request.settings, Sounds(context)
    evaluation = manifest.accepted(manifest.read(context.resolve(request.evaluation))).sort_values("clip_id")
    named = lineage.gather(request.gold, request.clips, request.lineage, request.evaluation, context)
    leaks, counts, closest = _prove(named, evaluation, sounds, settings, context)
    atomic.write_json(context.output / "leaks.json", {"leaks": [asdict(leak) for leak in leaks], "counts": counts, "closest": closest})
    _refuse(leaks, settings, request)
    model, _ = load_model(context.locate(request.checkpoint), settings.audio_model, settings.text_model, context.device)
    embedder = Embedder(model, context.device)
    sets = _load(request, evaluation, embedder, context)
    found: dict[str, Any] = {"gold_clips": len(sets.gold), "clips": len(sets.synthetic), "reference_clips": len(sets.reference)}
    found |= _distances(sets, settings) | _scores(sets.synthetic, embedder) | _diversity(sets, settings)
    found |= _copies(sets, sounds, settings, context)
    found |= {
        "leaked": len({leak.clip_id for leak in leaks}), "outside": counts["outside"],
        "pairs_compared": counts["pairs_by_record"] + counts["pairs_by_sound"],
        "closest_to_evaluation": closest["correlation"] if closest else None,
    }  # fmt: skip
    atomic.write_json(context.output / "measures.json", to_dict(found))
    return Result(**{name: value for name, value in found.items() if name in Result.__dataclass_fields__})


def _refuse(leaks: Sequence[lineage.Leak], settings: Settings, request: Request) -> None:
    """Fail when there are leaks and that is wanted."""
    if leaks and settings.on_leak == "fail":
        first = [f"{leak.clip_id} ← {leak.root} ~ {leak.evaluation_clip or leak.detail} ({leak.how})" for leak in leaks[:5]]
        raise InvalidValueError(
            f"{len(leaks)} traces of validation or test clips", where=request.clips[0], allowed="none", received=first,
            hint="take these clips out of the train split; measure_synthetic.on_leak=report counts them instead of failing",
        )  # fmt: skip


def _prove(
    named: lineage.Lineage, evaluation: pd.DataFrame, sounds: Sounds, settings: Settings, context: Context
) -> tuple[list[lineage.Leak], dict[str, int], dict[str, Any] | None]:
    """Compare what was used with the validation and test clips: the whole lineage by record, the roots by ear as well.

    Returns:
        the leaks, the counts, and the root that sounds most like a validation or test clip.
    """
    leaks, counts, roots = lineage.by_record(named, evaluation, context)
    kept_out = evaluation[evaluation["split"].isin(lineage.KEPT_OUT)].to_dict("records")
    audible = [named.rows[root] for root in roots if context.resolve(named.rows[root]["path"]).is_file()]
    first, second = features.load(audible, context), features.load(kept_out, context)
    pairs = sorted(duplicates.nearest(first, second, sounds, settings), key=duplicates.closest_first)
    known = {leak.root for leak in leaks}
    users: dict[str, list[str]] = {}
    for used in sorted(named.used):
        for clip in named.ancestors(used):
            users.setdefault(clip, []).append(used)
    for pair in pairs:
        # By the waveform alone: spectrograms of simple sounds can be alike by chance, a root and a kept-out clip are both recordings.
        if (pair.waveform or 0.0) >= settings.duplicate_waveform and pair.clip.clip_id not in known:
            detail = f"correlation {pair.correlation}, waveform {pair.waveform}"
            leaks += [
                lineage.Leak(used, pair.clip.clip_id, pair.other.clip_id, "near_duplicate", detail) for used in users[pair.clip.clip_id]
            ]
    counts["pairs_by_record"] = counts["ancestors"] * counts["kept_out"]
    counts["pairs_by_sound"] = len(first) * len(second)
    context.log(f"{counts['clips']} clips from {counts['roots']} roots against {counts['kept_out']} kept out: {len(leaks)} leaks")
    return leaks, counts, _row("root and evaluation", pairs[0]) if pairs else None


def _load(request: Request, evaluation: pd.DataFrame, embedder: Embedder, context: Context) -> Sets:
    """Load what is measured.

    Raises:
        InvalidValueError: a gold or synthetic clip is not a train clip.
    """
    gold = manifest.accepted(manifest.read(context.resolve(request.gold)))
    synthetic = pd.concat([manifest.accepted(manifest.read(context.resolve(folder))) for folder in request.clips])
    for name, table in (("gold", gold), ("clips", synthetic)):
        manifest.require_train(table, f"measure_synthetic.{name}")
    real = evaluation[(evaluation["split"] == "train") & ~evaluation["clip_id"].isin(gold["clip_id"])].reset_index(drop=True)
    kept = frechet.order(list(real["clip_id"]), request.settings.seed)[: request.settings.max_reference]
    tables = (gold, synthetic.drop_duplicates("clip_id"), real.iloc[sorted(kept)], evaluation[evaluation["split"] == "val"])
    total = sum(len(table) for table in tables)
    done = _Counter(context, total)
    encoder = ClipEmbedder(context.locate(request.encoder), context.device) if request.encoder else None
    return Sets(*(features.load(table.sort_values("clip_id").to_dict("records"), context, embedder, done, encoder) for table in tables))


@dataclass
class _Counter:
    """Reports one more clip at every call."""

    context: Context
    total: int
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        self.context.progress(self.done, self.total)


def _distances(sets: Sets, settings: Settings) -> dict[str, Any]:
    """Return the Fréchet distances to gold, and to the validation clips, which is shown and used for nothing."""
    found: dict[str, Any] = {"frechet": {"gold_clips": len(sets.gold), "synthetic_clips": len(sets.synthetic), "regularisation": "none"}}
    views: dict[str, Callable[[Sequence[Clip]], Any]] = {
        "clap": lambda clips: unit(clips), "mel": lambda clips: np.stack([clip.levels for clip in clips]),
        "encoder": lambda clips: np.stack([clip.learned for clip in clips if clip.learned is not None]),
    }  # fmt: skip
    if not any(clip.learned is not None for clip in sets.gold):
        views.pop("encoder")
        found |= dict.fromkeys(("fad_encoder", "fad_encoder_infinity", "fad_encoder_reference"))
    for name, view in views.items():
        groups = {"": sets.synthetic, "_reference": sets.reference, "_val": sets.val}
        for suffix, clips in groups.items():
            first, second = (sets.synthetic, clips) if suffix == "_val" else (clips, sets.gold)
            enough = min(len(first), len(second)) >= 2
            found[f"fad_{name}{suffix}"] = round(frechet.distance(view(first), view(second)), DIGITS) if enough else None
        limit = None
        if len(sets.synthetic) >= 2 and len(sets.gold) >= 2:
            ids = [clip.clip_id for clip in sets.synthetic]
            limit = frechet.extrapolated(view(sets.synthetic), ids, view(sets.gold), settings.seed)
            found["frechet"][f"{name}_dimensions"] = view(sets.gold).shape[1]
        found[f"fad_{name}_infinity"] = rounded(limit)
    return found


def _scores(clips: Sequence[Clip], embedder: Embedder) -> dict[str, Any]:
    """Return the CLAP scores: mean cosine with the label's text and with the own caption."""
    if not clips:
        return {"clap_score_label": None, "clap_score_caption": None, "clap_score_per_class": {}}
    label, caption = features.clap_scores(clips, embedder)
    known = caption[~np.isnan(caption)]
    names = np.array([clip.label for clip in clips])
    return {
        "clap_score_label": rounded(label.mean()), "clap_score_caption": rounded(known.mean()) if len(known) else None,
        "clap_score_per_class": {str(name): rounded(label[names == name].mean()) for name in sorted(set(names))},
    }  # fmt: skip


def _diversity(sets: Sets, settings: Settings) -> dict[str, Any]:
    """Return Vendi scores and mean pairwise distances, overall and by class, gold beside synthetic."""
    overall = _diversity_of(sets.synthetic, sets.gold, settings)
    labels = sorted({clip.label for clip in (*sets.synthetic, *sets.gold)})
    per_class = {
        label: _diversity_of([c for c in sets.synthetic if c.label == label], [c for c in sets.gold if c.label == label], settings)
        for label in labels
    }
    return {**overall, "diversity_per_class": per_class}


def _diversity_of(synthetic: Sequence[Clip], gold: Sequence[Clip], settings: Settings) -> dict[str, float | None]:
    made, real = unit(synthetic) if synthetic else None, unit(gold) if gold else None
    ids = [clip.clip_id for clip in synthetic]
    return {
        "vendi": rounded(diversity.vendi(made)) if made is not None else None,
        "vendi_gold": rounded(diversity.vendi(real)) if real is not None else None,
        "vendi_at_gold_size": rounded(diversity.vendi_at(made, ids, len(gold), settings.seed)) if made is not None else None,
        "pairwise_distance": rounded(diversity.pairwise_distance(made)) if made is not None else None,
        "pairwise_distance_gold": rounded(diversity.pairwise_distance(real)) if real is not None else None,
    }


def _copies(sets: Sets, sounds: Sounds, settings: Settings, context: Context) -> dict[str, Any]:
    """Search near-duplicates, compare closeness to gold with that of real clips, and write the tables."""
    to_gold = duplicates.nearest(sets.synthetic, sets.gold, sounds, settings)
    to_each_other = duplicates.nearest(sets.synthetic, sets.synthetic, sounds, settings)
    real = duplicates.nearest(sets.reference or sets.gold, sets.gold, sounds, settings)
    rows = [_row("synthetic and gold", pair) for pair in to_gold]
    by_cosine = _nearest_by_cosine(sets)
    for row in rows:
        row |= by_cosine[row["clip_id"]]
    _write_table(context.output / "nearest.parquet", rows, (*COLUMNS, "nearest_by_cosine", "nearest_cosine"))
    worst = [_row("synthetic and gold", pair) for pair in sorted(to_gold, key=duplicates.closest_first)[: settings.offenders]]
    worst += [_row("synthetic and synthetic", pair) for pair in duplicates.distinct(to_each_other)[: settings.offenders]]
    _write_table(context.output / "offenders.parquet", worst, COLUMNS)
    atomic.write_json(context.output / "offenders.json", worst)
    own, other = [pair.correlation for pair in to_gold], [pair.correlation for pair in real]
    cosines = [value["nearest_cosine"] for value in by_cosine.values()]
    return {
        "near_duplicates_of_gold": sum(pair.duplicate for pair in to_gold),
        "near_duplicates_among": sum(pair.duplicate for pair in to_each_other),
        "closer_than_real": rounded(diversity.closeness(own, other)),
        "memorisation": {
            "reference": "undrawn train clips" if sets.reference else "gold clips among themselves",
            "synthetic": _quantiles(own), "real": _quantiles(other), "synthetic_cosine": _quantiles(cosines),
            "real_near_duplicates_of_gold": sum(pair.duplicate for pair in real),
            "above_every_real_one": sum(value > max(other) for value in own) if other else None,
        },
    }  # fmt: skip


def _nearest_by_cosine(sets: Sets) -> dict[str, dict[str, Any]]:
    """Return for every synthetic clip the gold clip with the greatest cosine of the audio embeddings."""
    if not sets.synthetic or not sets.gold:
        return {}
    cosines = (unit(sets.synthetic) @ unit(sets.gold).T).round(4)
    return {
        clip.clip_id: {"nearest_by_cosine": sets.gold[int(row.argmax())].clip_id, "nearest_cosine": float(row.max())}
        for clip, row in zip(sets.synthetic, cosines, strict=True)
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {f"{level:g}": round(float(np.quantile(values, level)), 4) for level in QUANTILES} if len(values) else {}


def _row(kind: str, pair: duplicates.Pair) -> dict[str, Any]:
    return {
        "kind": kind, "clip_id": pair.clip.clip_id, "label": pair.clip.label, "path": pair.clip.path, "other_id": pair.other.clip_id,
        "other_label": pair.other.label, "other_path": pair.other.path, "correlation": pair.correlation, "lag_s": pair.lag_s,
        "waveform": pair.waveform, "cosine": pair.cosine, "duplicate": pair.duplicate,
    }  # fmt: skip


def _write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    with atomic.replacing(path) as temporary:
        pd.DataFrame(list(rows), columns=list(columns)).to_parquet(temporary, index=False)


def rounded(value: float | None) -> float | None:
    """Return a number with the digits that are written, None for none."""
    return None if value is None else round(float(value), DIGITS)
