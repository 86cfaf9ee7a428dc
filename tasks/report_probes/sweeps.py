"""What the encoders differ in, against what they reach: the sweeps over δ and over the synthesiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.gallery import pictures
from core.gallery.page import trusted
from tasks.report_probes.scores import Encoder, of_probe

Chart = tuple[Any, str]
"""A drawing and what it shows."""


def synthesised(encoders: Sequence[Encoder], about: Mapping[str, Mapping[str, Any]]) -> list[Encoder]:
    """Return the encoders that were trained on synthesised pairs.

    Args:
        encoders: of one probe.
        about: their first seed's ``training.json`` by name.
    """
    return [one for one in encoders if one.training and not about[one.name]["clips"]]


def charts(encoders: Sequence[Encoder], probes: Sequence[str], about: Mapping[str, Mapping[str, Any]]) -> list[Chart]:
    """Return a curve over δ for every synthesiser that has several, and a row for each synthesiser where there are several.

    Args:
        encoders: of all probes.
        probes: their names, the first one makes the headline.
        about: the trainings' first ``training.json`` by name.
    """
    first = synthesised(of_probe(encoders, probes[0]), about)
    settings = {one.name: about[one.name]["settings"] for one in first}
    found: list[Chart] = []
    deltas = {
        synth: sorted({settings[one.name]["delta"] for one in first if settings[one.name]["synth"] == synth}) for synth in _synths(settings)
    }
    if any(len(values) > 1 for values in deltas.values()):
        found.append((_over_delta(encoders, probes, about, deltas), "score against δ; baselines are level lines"))
    if len(deltas) > 1:
        rows = [
            (f"{settings[one.name]['synth']}: {one.name}", list(100 * one.by_fold), _percent(one.interval))
            for one in _by_synth(first, settings)
        ]
        drawing = trusted(pictures.intervals(rows, f"{first[0].metric}, %"))
        found.append((drawing, f"by synthesiser, probe {probes[0]}: every fold (dots), mean (diamond), its 95 % interval (bar)"))
    return found


def _synths(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(one["synth"]) for one in settings.values()))


def _by_synth(encoders: Sequence[Encoder], settings: Mapping[str, Mapping[str, Any]]) -> list[Encoder]:
    order = _synths(settings)
    return sorted(encoders, key=lambda one: (order.index(settings[one.name]["synth"]), settings[one.name]["delta"]))


def _percent(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return (100 * interval[0], 100 * interval[1]) if interval else None


def _over_delta(
    encoders: Sequence[Encoder], probes: Sequence[str], about: Mapping[str, Mapping[str, Any]], deltas: Mapping[str, Sequence[float]]
) -> Any:
    lines: dict[str, list[tuple[float, float]]] = {}
    every = sorted({delta for values in deltas.values() for delta in values})
    for probe in probes:
        shown = of_probe(encoders, probe)
        for synth, values in deltas.items():
            if len(values) > 1:
                own = [one for one in synthesised(shown, about) if about[one.name]["settings"]["synth"] == synth]
                places = sorted((float(about[one.name]["settings"]["delta"]), 100 * one.mean) for one in own)
                lines[f"{probe}, {synth}"] = places
    for one in of_probe(encoders, probes[0]):
        if not one.training:
            lines[f"{probes[0]}, {one.name}"] = [(every[0], 100 * one.mean), (every[-1], 100 * one.mean)]
    return trusted(pictures.curves(lines, "δ", "score, %"))
