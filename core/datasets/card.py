"""Writes ``README.md``: the dataset card in the form that the Hugging Face hub shows, and a person reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from core import attribution, tables

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
LARGEST = "10M<n<100M"
ROWS = 200
"""The card's table of recordings ends here; ``clips.csv`` has them all."""
SPLITS = {"train": "train", "val": "validation", "test": "test", "": "unsplit"}
_CREATIVE = re.compile(r"(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)")


def write(version: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the card of a version.

    Args:
        version: what ``version.json`` holds.
        rows: the clips, with the columns of :data:`core.attribution.COLUMNS`.
    """
    recordings = Counter(tuple(found.get(name, "") for name in attribution.COLUMNS) for row in rows for found in attribution.apart(row))
    parts = [
        front_matter(version, recordings), f"# {version['name']}", _opening(version), "## Clips", _counts(version), *_scores(version),
        "## How it was made", _how(version), *_facts(version), "## Known limits", _limits(version), "## Licences and attribution",
        _licences(version), *_recordings(recordings), "## Check it", _check(),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def front_matter(version: Mapping[str, Any], recordings: Mapping[tuple[str, ...], int]) -> str:
    """Return the YAML head: licence, size, tasks, tags, and where the clips of each split lie; JSON strings are YAML."""
    clips = version["counts"]["clips"]
    size = next((name for limit, name in SIZES if clips < limit), LARGEST)
    known = version["counts"]["label"].keys() - {""}
    tasks = (["audio-classification"] if known else []) + (["text-to-audio"] if version["captioned"] else [])
    lines = [
        "---",
        f"pretty_name: {json.dumps(version['name'], ensure_ascii=False)}",
        f"license: {json.dumps(hub_licences(version, recordings))}",
    ]
    lines += [f"size_categories: {json.dumps([size])}", f"task_categories: {json.dumps(tasks)}", 'tags: ["audio", "synthloom"]']
    files = _data_files(version)
    if files:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        lines += [line for split, path in files for line in (f"  - split: {split}", f"    path: {json.dumps(path)}")]
    return "\n".join([*lines, "---"])


def _data_files(version: Mapping[str, Any]) -> list[tuple[str, str]]:
    present = [name for name in SPLITS if name in version["counts"]["split"]]
    patterns = {"audiofolder": lambda name: f"{SPLITS[name]}/**", "webdataset": lambda name: f"{name or 'unsplit'}-*.tar"}
    if version["form"] not in patterns:
        return []
    return [(SPLITS[name], patterns[version["form"]](name)) for name in present]


def hub_licences(version: Mapping[str, Any], recordings: Mapping[tuple[str, ...], int]) -> list[str]:
    """Return the hub's names of the licences: read from their addresses, else from their names; ``other`` where it has none."""
    known = {hub_licence(row[0], row[4]) for row in recordings} if recordings else set()
    return sorted(known | ({"unknown"} if "unknown" in version["licences"] or not known else set()))


def hub_licence(name: str, url: str) -> str:
    """Return the hub's name of one licence; ``cc`` for Creative Commons of no known version, ``other`` where it has no name."""
    if name in ("", attribution.UNKNOWN) and not url:
        return "unknown"
    text = f"{url} {name}".lower()
    if "publicdomain/zero" in text or re.search(r"\bcc[- ]?0\b", text):
        return "cc0-1.0"
    found = _CREATIVE.search(text)
    if found:
        return f"cc-{found[1]}-{found[2]}"
    return "cc" if re.search(r"\bcc[- ]by\b", text) and "nc" not in text else "other"


def _opening(version: Mapping[str, Any]) -> str:
    counts = version["counts"]
    made = counts["clips"] - counts["origin"].get("gold", 0)
    return (
        f"{counts['clips']} clips, {_duration(version['duration_s'])}, {len(counts['label'])} classes; {made} of the clips are synthetic. "
        f"Version `{version['version']}`, made {version['created']}" + (f", after `{version['parent']}`." if version["parent"] else ".")
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _counts(version: Mapping[str, Any]) -> str:
    counts = version["counts"]
    said = []
    for what in ("split", "label", "origin"):
        rows = [{"name": f"`{name}`" if name else "(none)", "clips": str(count)} for name, count in counts[what].items()]
        said.append(tables.markdown({"name": what, "clips": "clips"}, rows))
    rejected = counts["status"].get("rejected", 0)
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in version["sample_rates_hz"].items())
    return "\n".join(said) + f"\nSample rates: {rates}. Left out as unusable: {rejected} clips."


def _scores(version: Mapping[str, Any]) -> list[str]:
    if not version["scores"]:
        return []
    names = ("count", "mean", "min", "median", "max")
    rows = [{"score": f"`{name}`", **{key: f"{found[key]:.4g}" for key in names}} for name, found in version["scores"].items()]
    return ["## Scores", tables.markdown({"score": "score", **{name: name for name in names}}, rows)]


def _how(version: Mapping[str, Any]) -> str:
    return f"By synthloom:\n\n```\n{version['command']}\n```" if version["command"] else "By synthloom; the command was not recorded."


def _facts(version: Mapping[str, Any]) -> list[str]:
    flat = flattened(version["facts"])
    if not flat:
        return []
    rows = [{"what": name, "value": f"{value:.4g}" if isinstance(value, float) else str(value)} for name, value in flat.items()]
    return ["## Measured", tables.markdown({"what": "what", "value": "value"}, rows)]


def flattened(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested facts as one level, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _limits(version: Mapping[str, Any]) -> str:
    return "\n".join(f"- {sentence}" for sentence in version["known_limits"]) or "None were found by counting."


def _licences(version: Mapping[str, Any]) -> str:
    rows = [{"licence": name, "clips": str(count)} for name, count in version["licences"].items()]
    said = "A generated clip stands under the licences of the recordings it was made from.\n\n"
    return said + tables.markdown({"licence": "licence", "clips": "clips"}, rows)


def _recordings(recordings: Mapping[tuple[str, ...], int]) -> list[str]:
    titles = {"title": "recording", "author": "author", "licence": "licence", "source": "source", "clips": "clips made from it"}
    rows = [{**dict(zip(attribution.COLUMNS, found, strict=True)), "clips": str(count)} for found, count in sorted(recordings.items())]
    if not rows:
        return []
    more = f"\n{len(rows) - ROWS} further recordings are in `clips.csv`, beside the clips made from them." if len(rows) > ROWS else ""
    return [tables.markdown(titles, rows[:ROWS]) + more]


def _check() -> str:
    return "```\nsha256sum --check --quiet files.sha256      # or, with synthloom: ./run.sh verify FOLDER\n```"
