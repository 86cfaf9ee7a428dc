"""Labelled clips as every flow takes them (``configs/datasets/*.yaml``), and the steps up to their checked manifest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core import places
from core.errors import InvalidValueError
from core.graph import Graph
from tasks.import_dataset import spec as import_dataset
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
    published: str = ""
    """A dataset that was published or pulled here, ``NAME`` or ``NAME@VERSION``; stands in place of ``root`` and ``csv``."""
    layout: Literal["", "hear", "esc50", "urbansound8k", "vivae", "nsynth", "crema_d", "fsd50k", "vocal_imitation", "libricount"] = ""
    """The published layout of a dataset that has no such table; then there is no ``csv``."""
    metric: Literal["", "accuracy", "mAP"] = ""
    """What published evaluations of it score. Empty: accuracy, or mean average precision where a clip has several labels."""
    protocol: Literal["", "arch", "hear"] = ""
    """The benchmark whose probe they use; ``probes=[published]`` takes it."""
    domain: str = "everyday sounds"
    """What kind of sounds these are, in words; goes into caption prompts."""
    synthesize: synthesize_demo.Settings = field(default_factory=synthesize_demo.Settings)
    """How to synthesise the demo dataset, when ``root`` is empty."""
    import_dataset: import_dataset.Settings = field(default_factory=import_dataset.Settings)
    """What ``layout`` leaves open."""
    prepare: prepare.Settings = field(default_factory=prepare.Settings)
    """Columns, folds and checks."""

    def __post_init__(self) -> None:
        if self.published and (self.root or self.layout or self.csv):
            hint = "leave out root, csv and layout, or published"
            raise InvalidValueError("two datasets", where="dataset.published", allowed="one of them", received=self.published, hint=hint)
        if self.layout and (self.csv or self.val_csv or self.test_csv):
            hint = "a layout brings its own table: leave one of them empty"
            raise InvalidValueError("two tables", where="dataset.layout", allowed="a layout or a csv", received=self.layout, hint=hint)


DEMO = Dataset(name="demo", prepare=prepare.Settings(split_column="split"))
"""Needs no file: the sounds are synthesised."""


def prepared_dataset(graph: Graph, dataset: Dataset, cwd: Path) -> str:
    """Add the steps up to the checked manifest; return its folder."""
    if dataset.published:
        from core.datasets.export import TABLE  # brings pandas, which those who only read the settings need not wait for

        folder, settings = published_folder(dataset.published), dataset.prepare
        if not (settings.split_column or settings.fold_column):
            settings = replace(settings, split_column="split")  # its test clips stay test clips, also where it is a pool
        return graph.add("prepare", prepare.Request(csv=str(folder / TABLE), root=str(folder), settings=settings)).output
    if dataset.root:
        root = (cwd / Path(dataset.root).expanduser()).resolve()
        tables = {name: getattr(dataset, name) for name in ("csv", "val_csv", "test_csv")}
        for name, path in (("dataset.root", root), *((f"dataset.{name}", root / table) for name, table in tables.items() if table)):
            if not path.exists():
                hint = "set dataset.root=FOLDER" if name == "dataset.root" else "the table's path is relative to dataset.root"
                hint += "; docs/first_hour.md has an example"
                raise InvalidValueError("no such file or folder", where=name, allowed="an existing path", received=str(path), hint=hint)
        files = {name: str(root / table) if table else "" for name, table in tables.items()}
        if dataset.layout:
            request = import_dataset.Request(layout=dataset.layout, root=str(root), settings=dataset.import_dataset)
            files["csv"] = f"{graph.add('import_dataset', request, f'import_dataset {dataset.name}').output}/clips.csv"
        return graph.add("prepare", prepare.Request(root=str(root), settings=dataset.prepare, **files)).output
    if dataset.csv or dataset.layout:
        hint = f"type the command again with dataset.root=FOLDER; configs/datasets/{dataset.name}.yaml says what must be in it"
        raise InvalidValueError("missing", where="dataset.root", allowed="the folder with the audio", received=dataset.root, hint=hint)
    made = graph.add("synthesize_demo", synthesize_demo.Request(settings=dataset.synthesize)).output
    return graph.add("prepare", prepare.Request(csv=f"{made}/demo.csv", root=made, settings=dataset.prepare)).output


def published_folder(text: str) -> Path:
    """Return the folder of a published version, the present one where none is named.

    Args:
        text: ``NAME`` or ``NAME@VERSION``.

    Raises:
        InvalidValueError: there is no such version, or it holds no sound files of its own.
    """
    from core.datasets import versions  # likewise

    folder = versions.find(places.data_root(), text)
    form = versions.read(folder)["form"]
    if form not in ("audiofolder", "lhotse"):
        hint = "publish it as audiofolder: ./run.sh publish RUN --as NAME --to audiofolder"
        allowed = "a version with sound files in folders: audiofolder or lhotse"
        raise InvalidValueError("cannot be read from", where="dataset.published", allowed=allowed, received=form, hint=hint)
    return folder
