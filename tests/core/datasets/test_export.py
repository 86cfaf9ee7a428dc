"""What every form holds; with the libraries they are meant for they are opened in tests/readers."""

import pandas as pd
import pytest

from core import manifest
from core.datasets import export
from core.errors import InvalidValueError
from tests import datasets as toy


@pytest.fixture
def clips(tmp_path):
    """Gold and synthetic clips in a store, one rejected; returns (root, table)."""
    root = tmp_path / "data"
    folders = [toy.gold(root), toy.made(root)]
    return root, export.collect(root, folders)


def test_rejected_clips_stay_behind_and_twice_is_once(clips):
    root, table = clips
    assert len(table) == 8 and len(export.every_row(root, [toy.GOLD, toy.MADE])) == 9
    assert len(export.collect(root, [toy.GOLD, toy.GOLD])) == 6


def test_csv_keeps_every_column_and_awkward_labels(clips, tmp_path):
    root, table = clips
    path = export.export("csv", table, root, tmp_path / "out") / "clips.csv"
    back = pd.read_csv(path, keep_default_na=False)
    assert sorted(back["label"].unique()) == ["dog", 'he said "hi", ünd_так'] and (root / back["path"][0]).is_file()
    assert set(manifest.COLUMNS) <= set(back.columns) and list(back["author"]) == list(table["author"])


@pytest.mark.parametrize("form", ["audiofolder", "lhotse", "webdataset"])
def test_every_form_has_the_table_of_all_clips_with_paths_below_it(clips, tmp_path, form):
    root, table = clips
    target = export.export(form, table, root, tmp_path / "out")
    back = pd.read_csv(target / "clips.csv", keep_default_na=False)
    assert list(back["clip_id"]) == list(table["clip_id"])
    files = [target / path for path in back["path"]]
    assert all((path.parent if form == "webdataset" else path).is_file() for path in files)
    text = (target / "clips.csv").read_text()
    assert "stages/" not in text and str(tmp_path) not in text


def test_unknown_form_and_existing_target_are_refused(clips, tmp_path):
    root, table = clips
    with pytest.raises(InvalidValueError, match="audiofolder"):
        export.export("zip", table, root, tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(InvalidValueError, match="exists already"):
        export.export("csv", table, root, tmp_path / "there")
    assert not [item for item in tmp_path.iterdir() if ".tmp" in item.name]
