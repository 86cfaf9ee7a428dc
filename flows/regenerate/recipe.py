"""The recipe of a published dataset: what ``dataset=NAME`` stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from core import atomic, config, keys, places
from core.contract import to_dict
from core.datasets.naming import PUBLISHED, check_name
from core.errors import InvalidValueError, nearest
from flows.regenerate.config import Config

FILE = "recipe.yaml"
"""Beside the versions: the settings that the last version was published with."""
_OF_THE_RUN = ("force", "devices", "cluster", "reuse")
"""Settings that are no part of a recipe."""


def translate(words: Sequence[str], root: Path | None = None) -> list[str]:
    """Put a dataset's recipe in the place of ``dataset=NAME``; ``settings=[…]`` beside it join the recipe's, or replace them.

    Args:
        words: ``key=value`` words of the command line.
        root: the data root; by default this invocation's.

    Raises:
        InvalidValueError: nobody has published, described or configured such a dataset; with the nearest name.
    """
    names = [word.partition("=")[2] for word in words if word.startswith("dataset=")]
    if not names:
        return list(words)
    recipe = find(names[-1], root or places.data_root())
    own = [word.partition("=")[2] for word in words if word.startswith("settings=")]
    if own:
        added = OmegaConf.to_container(OmegaConf.from_dotlist([f"settings={own[-1]}"]))
        assert isinstance(added, dict)
        given = added["settings"]
        recipe["settings"] = _replaced(recipe.get("settings", []), given if isinstance(given, list) else [given])
    kept = [word for word in words if not word.startswith(("dataset=", "settings="))]
    return [*(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in recipe.items()), *kept]


def _replaced(words: Sequence[str], newer: Sequence[str]) -> list[str]:
    """Return ``key=value`` words, newer ones in the place of older ones with their key, or at the end; a recipe must not grow with use."""
    return list({str(word).partition("=")[0]: word for word in [*words, *newer]}.values())


def find(name: str, root: Path) -> dict[str, Any]:
    """Return a dataset's recipe: from ``configs/published``, else as it was last published, else the defaults for ``configs/datasets``."""
    check_name(name, "dataset")
    configs = keys.ROOT / "configs"
    for path in (configs / "published" / f"{name}.yaml", root / PUBLISHED / name / FILE):
        if path.is_file():
            loaded: Any = OmegaConf.to_container(config.load_yaml(path))
            return {"publish_as": name, **loaded}
    if (configs / "datasets" / f"{name}.yaml").is_file():
        return {"settings": [f"dataset={name}"], "publish_as": name}
    known = {path.stem for path in [*configs.glob("published/*.yaml"), *configs.glob("datasets/*.yaml")]}
    known |= {path.parent.name for path in (root / PUBLISHED).glob(f"*/{FILE}")}
    hint = f"{nearest(name, known)}; or say how it is made: ./run.sh regenerate 'settings=[…]' publish_as={name}"
    raise InvalidValueError("no recipe", where="dataset", allowed="a name in configs/published", received=name, hint=hint)


def keep(given: Config, root: Path) -> None:
    """Write down how a dataset was published, so that ``dataset=NAME`` does it again, unless ``configs/published`` says it.

    The guards stay as the first version's recipe has them: a bound that was set once, to let one version pass, is not lowered for good.
    """
    if not (keys.ROOT / "configs" / "published" / f"{given.publish_as}.yaml").is_file():
        path = root / PUBLISHED / given.publish_as / FILE
        recipe = {name: value for name, value in to_dict(given).items() if name not in _OF_THE_RUN}
        if path.is_file():
            before: Any = OmegaConf.to_container(config.load_yaml(path))
            recipe["guards"] = before.get("guards", {})
        atomic.write_text(path, str(OmegaConf.to_yaml(OmegaConf.create(recipe))))
