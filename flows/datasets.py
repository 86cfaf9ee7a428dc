"""Labelled clips as every flow takes them (``configs/datasets/*.yaml``), and the steps up to their checked manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.errors import InvalidValueError
from core.graph import Graph
from tasks.prepare import spec as prepare
from tasks.synthesize_demo import spec as synthesize_demo


@dataclass(frozen=True)
class Dataset:
    """Where the labelled clips come from (``configs/datasets/*.yaml``)."""

    name: str
    """Short name, shown everywhere."""
    root: str = ""
    """Folder with the audio; empty: the dataset is synthesised by the project itself."""
    csv: str = ""
    """Table of clips, relative to ``root``."""
    val_csv: str = ""
    """Table of the validation clips, where the splits come in tables of their own."""
    test_csv: str = ""
    """Table of the test clips, likewise."""
    domain: str = "everyday sounds"
    """What kind of sounds these are, in words; goes into caption prompts."""
    synthesize: synthesize_demo.Settings = field(default_factory=synthesize_demo.Settings)
    """How to synthesise the demo dataset, when ``root`` is empty."""
    prepare: prepare.Settings = field(default_factory=prepare.Settings)
    """Columns, folds and checks."""


DEMO = Dataset(name="demo", prepare=prepare.Settings(split_column="split"))
"""Needs no file: the sounds are synthesised."""


def prepared_dataset(graph: Graph, dataset: Dataset, cwd: Path) -> str:
    """Add the steps up to the checked manifest; return its folder."""
    if dataset.root:
        root = (cwd / Path(dataset.root).expanduser()).resolve()
        tables = {name: getattr(dataset, name) for name in ("csv", "val_csv", "test_csv")}
        for name, path in (("dataset.root", root), *((f"dataset.{name}", root / table) for name, table in tables.items() if table)):
            if not path.exists():
                hint = "set dataset.root=FOLDER" if name == "dataset.root" else "the table's path is relative to dataset.root"
                raise InvalidValueError("no such file or folder", where=name, allowed="an existing path", received=str(path), hint=hint)
        files = {name: str(root / table) if table else "" for name, table in tables.items()}
        return graph.add("prepare", prepare.Request(root=str(root), settings=dataset.prepare, **files)).output
    if dataset.csv:
        hint = "set dataset.root=FOLDER"
        raise InvalidValueError("missing", where="dataset.root", allowed="the folder with the audio", received=dataset.root, hint=hint)
    made = graph.add("synthesize_demo", synthesize_demo.Request(settings=dataset.synthesize)).output
    return graph.add("prepare", prepare.Request(csv=f"{made}/demo.csv", root=made, settings=dataset.prepare)).output
