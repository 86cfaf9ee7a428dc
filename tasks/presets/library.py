"""Specs that come with the project, and specs by path."""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import InvalidValueError, nearest
from tasks.presets.parameters import SynthSpec

SPECS = Path(__file__).parent / "specs"


def names() -> list[str]:
    """Return the names of the specs that come with the project."""
    return sorted(path.stem for path in SPECS.glob("*.json"))


def load_spec(name_or_path: str | Path) -> SynthSpec:
    """Return a spec by name (``dexed``), or from a JSON file (one that ``probe_synth`` drafted).

    Raises:
        InvalidValueError: there is none, or it does not hold together.
    """
    path = Path(name_or_path)
    if not path.is_file() and (SPECS / f"{name_or_path}.json").is_file():
        path = SPECS / f"{name_or_path}.json"
    if not path.is_file():
        hint = nearest(str(name_or_path), names())
        raise InvalidValueError("no such spec", where="spec", allowed=[*names(), "a JSON file"], received=str(name_or_path), hint=hint)
    try:
        data = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"no JSON: {error}", where=str(path), allowed="a spec", received=path.name) from error
    return SynthSpec.from_json(data, where=path.name)
