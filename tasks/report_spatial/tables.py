"""The tables: retrieval with chance, intra-modal retrieval, invariance, physical errors, zero-shot attributes, exchanged directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core import atomic, tables
from tasks.report_spatial.scores import BY, SIDES, TASKS, Model, at

Table = tuple[dict[str, str], list[dict[str, str]]]
KS = (1, 5, 10)
EMBEDDINGS = {
    "audio_source": "sound, source", "audio_spatial": "sound, space", "text_source": "text, source", "text_spatial": "text, space"
}  # fmt: skip
PHYSICAL = {"distance_m": ("distance, m", 2), "area_m2": ("floor area, m²", 0), "t30_ms": ("T30, ms", 0)}
ANCHORS = {"prompts": "ELSA's prompts", "prototypes": "means of captions"}


def retrieval(models: Sequence[Model], by: str, within: str = "") -> Table:
    """Return R@K of every task in both directions beside chance, mean over seeds.

    Args:
        models: rows.
        by: ``retrieval`` (a clip, an RIR) or ``retrieval_by_words`` (anything that is said in the same words).
        within: ``audio`` or ``text`` for retrieval within one of them instead.
    """
    several = any(len(model.runs) > 1 for model in models)
    titles = {"task": "task", "side": "direction", "r1": "R@1, %", "sure": "95 % over seeds", "chance1": "chance, %",
              "excess1": "above chance", "lift1": "× chance", "r5": "R@5, %", "chance5": "chance, %", "r10": "R@10, %",
              "chance10": "chance, %", "medr": "median rank", "mnr": "mean rank"}  # fmt: skip
    titles = {name: title for name, title in titles.items() if name != "sure" or several}
    rows = []
    for model in models:
        for task in TASKS:
            for side, words in {within: f"{within} → {within}"}.items() if within else SIDES.items():
                path = ("intra_modal", within, task) if within else (by, task, side)
                if model.values(*path, "R@1"):
                    rows.append({"model": model.name, "task": task, "side": words, **_figures(model, path)})
    return _without_single({"model": "model", **titles}, rows, models)


def _figures(model: Model, path: tuple[str, ...]) -> dict[str, str]:
    found = {f"{short}{k}": percent(model.mean(*path, f"{name}@{k}")) for k in KS for short, name in (("r", "R"), ("chance", "chance"))}
    interval = model.interval(*path, "R@1")
    excess = model.mean(*path, "excess@1")
    return {
        **found, "excess1": "–" if excess is None else f"{100 * excess:+.2f}", "lift1": number(model.mean(*path, "lift@1"), 1),
        "sure": f"{100 * interval[0]:.2f} … {100 * interval[1]:.2f}" if interval else "–",
        "medr": number(model.mean(*path, "MedR"), 1), "mnr": number(model.mean(*path, "MnR"), 1),
    }  # fmt: skip


def ceilings(models: Sequence[Model]) -> dict[str, str]:
    """Return the highest R@1 that captions allow, in percent, by task."""
    return {task: percent(value) for task in ("SRC", "SPA") if (value := models[0].mean("ceiling@1", task)) is not None}


def invariance(models: Sequence[Model]) -> Table:
    """Return the inter/intra distance ratios of the four embeddings (IIDR; DISSE's Table I)."""
    titles = {"model": "model", "embedding": "embedding", "source": "IIDR source", "spatial": "IIDR space",
              "same_source": "distance, same source", "same_space": "distance, same space"}  # fmt: skip
    rows = [
        {"model": model.name, "embedding": words, "source": _ratio(model, name, "source"), "spatial": _ratio(model, name, "spatial"),
         "same_source": number(model.mean("iidr", name, "distance_same_source"), 3),
         "same_space": number(model.mean("iidr", name, "distance_same_space"), 3)}
        for model in models for name, words in EMBEDDINGS.items()
    ]  # fmt: skip
    return _without_single(titles, rows, models)


def _ratio(model: Model, name: str, which: str) -> str:
    if any(at(one, "iidr", name, which) == "infinite" for one in model.scores):
        return "infinite"
    return number(model.mean("iidr", name, which), 3)


def physical(models: Sequence[Model]) -> Table:
    """Return errors in real units, beside those of somebody who does not listen; in simulated rooms and, if any, in real recordings."""
    titles = {"model": "model", "quantity": "quantity", "error": "mean error", "blind": "without listening", "median": "median",
              "p90": "90th percentile"}  # fmt: skip
    rows = []
    for model in models:
        for part, where in (("physical", ""), ("recordings", " (real recordings)")):
            told = {name: model.mean(part, "direction_deg", name) for name in ("mean", "chance", "median", "p90")}
            if told["mean"] is not None:
                rows.append({
                    "model": model.name, "quantity": f"direction, °{where}", "error": number(told["mean"], 1),
                    "blind": number(told["chance"], 0), "median": number(told["median"], 1), "p90": number(told["p90"], 1),
                })  # fmt: skip
            plain = [model.mean(part, "direction_deg", "of_mean_intensity", name) for name in ("mean", "median")]
            if plain[0] is not None:
                rows.append({
                    "model": model.name, "quantity": "the same by the mean intensity vector", "error": number(plain[0], 1), "blind": "90",
                    "median": number(plain[1], 1), "p90": "–",
                })  # fmt: skip
            rows += [_quantity(model, part, name, where) for name in PHYSICAL if model.mean(part, name, "mean_absolute") is not None]
    return _without_single(titles, rows, models)


def _quantity(model: Model, part: str, name: str, where: str) -> dict[str, str]:
    title, digits = PHYSICAL[name]
    found = {kind: number(model.mean(part, name, kind), digits) for kind in ("mean_absolute", "of_the_mean")}
    error, blind = found["mean_absolute"], found["of_the_mean"]
    return {"model": model.name, "quantity": f"{title}{where}", "error": error, "blind": blind, "median": "–", "p90": "–"}


def zero_shot(models: Sequence[Model]) -> Table:
    """Return how often a sound's space embedding is nearest to its own word, by attribute."""
    titles = {"model": "model", "attribute": "attribute", "anchors": "told by", "accuracy": "accuracy, %",
              "balanced": "mean over words, %", "chance": "chance, %", "words": "by word, %", "items": "scenes"}  # fmt: skip
    rows = []
    for model in models:
        for anchors, spoken in ANCHORS.items():
            for name in at(model.scores[0], "zero_shot", anchors) or {}:
                path = ("zero_shot", anchors, name)
                words = {word: model.mean(*path, "by_word", word) for word in at(model.scores[0], *path, "by_word") or {}}
                rows.append({
                    "model": model.name, "attribute": name, "anchors": spoken, "accuracy": percent(model.mean(*path, "accuracy"), 1),
                    "balanced": percent(model.mean(*path, "balanced_accuracy"), 1), "chance": percent(model.mean(*path, "chance"), 0),
                    "words": ", ".join(f"{word} {percent(value, 0)}" for word, value in words.items()),
                    "items": number(model.mean(*path, "items"), 0),
                })  # fmt: skip
    return _without_single(titles, rows, models)


def swaps(models: Sequence[Model]) -> Table:
    """Return what becomes of sounds whose direction is exchanged for its opposite (ELSA)."""
    titles = {
        "model": "model",
        "right": "told right at first, %",
        "swapped": "then told as the opposite, %",
        "removed": "still told right without its word, %",
        "before": "R@10 before, %",
        "after": "R@10 after, %",
        "kept": "other attributes kept, %",
    }
    rows = []
    for model in models:
        if not model.values("swap", "items"):
            continue
        kept = {name: model.mean("swap", "kept", name) for name in at(model.scores[0], "swap", "kept") or {}}
        rows.append({
            "model": model.name, "right": percent(model.mean("swap", "right_at_first"), 1),
            **{name: percent(model.mean("swap", name), 1) for name in ("swapped", "removed")},
            **{name: percent(model.mean("swap", "R@10", name), 1) for name in ("before", "after")},
            "kept": ", ".join(f"{name} {percent(value, 0)}" for name, value in kept.items()) or "–",
        })  # fmt: skip
    return titles, rows


def _without_single(titles: dict[str, str], rows: list[dict[str, str]], models: Sequence[Model]) -> Table:
    """Leave the models' names out of the titles where there is one model."""
    return {name: title for name, title in titles.items() if name != "model" or len(models) > 1}, rows


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share as percent."""
    return number(None if value is None else 100 * value, digits)


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def everything(models: Sequence[Model]) -> dict[str, Table]:
    """Return all tables that have rows, by title."""
    made: dict[str, Callable[[], Table]] = {
        **{f"Retrieval by {words}": lambda by=by: retrieval(models, by) for by, words in BY.items()},  # type: ignore[misc]
        "Invariance": lambda: invariance(models), "Physical errors": lambda: physical(models),
        "Zero-shot attributes": lambda: zero_shot(models), "Exchanged directions": lambda: swaps(models),
        "Retrieval among sounds": lambda: retrieval(models, "", "audio"), "Retrieval among captions": lambda: retrieval(models, "", "text"),
    }  # fmt: skip
    return {title: found for title, make in made.items() if (found := make())[1]}


def numbers(models: Sequence[Model]) -> Iterator[dict[str, Any]]:
    """Return every number of every run, one a row: model, seed, measure (its keys with slashes), value."""

    def walk(values: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from walk(value, f"{path}{name}/")
            elif value is None or isinstance(value, int | float | str):
                yield f"{path}{name}", value

    for model in models:
        for run, scores in zip(model.runs, model.scores, strict=True):
            for measure, value in walk({name: part for name, part in scores.items() if name != "unreadable_clips"}, ""):
                yield {"model": model.name, "seed": run.seed, "measure": measure, "value": value}


def write(parts: dict[str, Table], models: Sequence[Model], finding: str, folder: Path) -> None:
    """Write ``scores.csv`` and ``scores.json`` (every number of every run), ``scores.md`` and ``scores.tex`` (the tables)."""
    tables.write_rows(folder / "scores", list(numbers(models)), ("model", "seed", "measure", "value"))
    blocks = [f"**{title}**\n\n{tables.markdown(*part)}" for title, part in parts.items()]
    atomic.write_text(folder / "scores.md", "\n".join([finding, "", *blocks]))
    atomic.write_text(folder / "scores.tex", "\n".join(tables.tabular(*part, title) for title, part in parts.items()))
