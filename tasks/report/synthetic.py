"""What became of the synthetic clips: how many each round let through, and what ``measure_synthetic`` found of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from core import manifest
from core.context import Context
from tasks.report.clips import player, spoken
from tasks.report.spec import Measured, Request


def funnel(request: Request, context: Context) -> list[tuple[str, int]]:
    """Return how many clips of the input there are, and the size of each gold set's first draw."""
    prepared = manifest.read(context.resolve(request.prepare))
    usable = manifest.accepted(prepared)
    counts = [
        ("rows in the table", len(prepared)), ("rejected on arrival", len(prepared) - len(usable)),
        ("train clips", int((usable["split"] == "train").sum())), ("validation clips", int((usable["split"] == "val").sum())),
        ("test clips", int((usable["split"] == "test").sum())),
    ]  # fmt: skip
    sizes = {run.num_samples: [] for run in request.gold}
    for run in request.gold:
        sizes[run.num_samples].append(len(manifest.read(context.resolve(run.path))))
    for found in sizes.values():
        counts.append(("gold clips drawn" if len(found) == 1 else f"gold clips drawn, {len(found)} times", found[0]))
    return counts


def rounds(request: Request, num_samples: int, context: Context) -> list[dict[str, str]]:
    """Return, for each source and round of self-reflection, what was generated and what the filter kept, summed over the draws."""
    counts: dict[tuple[str, int], list[int]] = {}
    draws: dict[tuple[str, int], int] = {}
    for run in request.synthetic:
        if run.num_samples != num_samples:
            continue
        for number, (before, after) in enumerate(zip(run.generated, run.filtered, strict=True), start=1):
            made, kept = manifest.read(context.resolve(before)), manifest.accepted(manifest.read(context.resolve(after)))
            total = counts.setdefault((run.source, number), [0, 0])
            total[0] += len(made)
            total[1] += len(kept)
            draws[run.source, number] = draws.get((run.source, number), 0) + 1
    return [
        {
            "source": spoken(source), "round": str(number), "draws": str(draws[source, number]), "generated": str(made),
            "accepted": str(kept), "rejected": str(made - kept), "share": f"{100 * kept / made:.0f} %" if made else "–",
        }
        for (source, number), (made, kept) in counts.items()
    ]  # fmt: skip


def measures(request: Request, num_samples: int, context: Context) -> list[dict[str, str]]:
    """Return the measures of each source as text: numbers are means over the draws measured, counts are sums."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in _of(request, num_samples):
        found.setdefault(run.source, []).append(json.loads((context.resolve(run.path) / "measures.json").read_text()))
    return [_measures(spoken(source), draws) for source, draws in found.items()]


def _measures(source: str, draws: list[dict[str, Any]]) -> dict[str, str]:
    def mean(name: str, form: Callable[[float], str] = "{:.3f}".format) -> str:
        known = [draw[name] for draw in draws if draw.get(name) is not None]
        return form(float(np.mean(known))) if known else "–"

    def total(name: str) -> str:
        return str(sum(draw[name] for draw in draws))

    return {
        "source": source, "draws": str(len(draws)), "clips": total("clips"), "gold": total("gold_clips"),
        "fad_clap": mean("fad_clap"), "fad_clap_reference": mean("fad_clap_reference"),
        "fad_mel": mean("fad_mel", "{:.0f}".format), "fad_mel_reference": mean("fad_mel_reference", "{:.0f}".format),
        "clap_label": mean("clap_score_label"), "clap_caption": mean("clap_score_caption"),
        "vendi": mean("vendi_at_gold_size", "{:.2f}".format), "vendi_gold": mean("vendi_gold", "{:.2f}".format),
        "copies": total("near_duplicates_of_gold"), "among": total("near_duplicates_among"),
        "closer": mean("closer_than_real", "{:.2f}".format), "leaked": total("leaked"), "compared": total("pairs_compared"),
    }  # fmt: skip


def pairs(request: Request, num_samples: int, context: Context) -> list[dict[str, Any]]:
    """Return the closest pairs of the first measured draw with players for both clips; near-duplicates first, of all sources."""
    measured = list(_of(request, num_samples))
    first = [run for run in measured if run.draw == measured[0].draw]  # of no run when there is none
    listed = [
        {**row, "source": spoken(run.source)}
        for run in first
        for row in json.loads((context.resolve(run.path) / "offenders.json").read_text())
    ]
    listed.sort(key=lambda row: (not row["duplicate"], row["kind"] != "synthetic and gold", -max(row["correlation"], row["waveform"] or 0)))
    made = []
    for row in listed[: request.settings.max_pairs]:
        sides = (
            (row["clip_id"], row["path"], row["label"], row["source"]),
            (row["other_id"], row["other_path"], row["other_label"], _other(row)),
        )
        detail = f"spectrogram {row['correlation']:.2f} at {row['lag_s']:+.2f} s"
        detail += "" if row["waveform"] is None else f" · waveform {row['waveform']:.2f}"
        detail += "" if row["cosine"] is None else f" · CLAP cosine {row['cosine']:.2f}"
        clips = [{"label": label, "what": what, **player(clip, path, context)} for clip, path, label, what in sides]
        made.append({"clips": clips, "detail": detail, "duplicate": row["duplicate"]})
    return made


def _other(row: dict[str, Any]) -> str:
    return "gold" if row["kind"] == "synthetic and gold" else row["source"]


def _of(request: Request, num_samples: int) -> Iterable[Measured]:
    return (run for run in request.measures if run.num_samples == num_samples)
