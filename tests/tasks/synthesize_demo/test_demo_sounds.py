import csv
import itertools
import json

import numpy as np
import pytest
from scipy import signal

from core import audio
from core.context import Context
from tasks.synthesize_demo.parameters import BINS, PATTERN
from tasks.synthesize_demo.sounds import CLASSES
from tasks.synthesize_demo.spec import Request, Settings
from tasks.synthesize_demo.stage import make_clip, run

SETTINGS = Settings(train_per_class=6, val_per_class=2, test_per_class=12)


def owner(position):
    """The split that owns a relative position in [0, 1) of a parameter's range."""
    return PATTERN[min(int(position * BINS), BINS - 1) % len(PATTERN)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    run(Request(SETTINGS), Context(output=root, data_root=root, emit=lambda kind, values: None))
    with (root / "demo.csv").open() as handle:
        return root, list(csv.DictReader(handle))


def test_there_are_ten_classes_and_every_clip_is_sound_of_the_right_length(demo):
    root, rows = demo
    assert len({row["label"] for row in rows}) == 10 and len(rows) == 200
    for row in rows:
        samples, rate = audio.read(root / row["path"])
        level = 20 * np.log10(np.sqrt(np.mean(samples**2)))
        assert samples.shape == (1, 32000) and rate == 16000
        assert -48 < level < -12 and np.abs(samples).max() < 0.98 and abs(samples.mean()) < 1e-3, row["path"]


def test_splits_never_share_a_parameter_range(demo):
    _, rows = demo
    for row in rows:
        for name, position in json.loads(row["parameters"])["positions"].items():
            assert owner(position) == row["split"], (row["path"], name)
    assert {owner((b + 0.5) / 16) for b in range(16)} == set(PATTERN)
    assert len({row["seed"] for row in rows}) == len(rows)


def test_same_seed_same_bytes_other_seed_other_sound():
    first, _ = make_clip(SETTINGS, "bell", "train", 0)
    again, _ = make_clip(SETTINGS, "bell", "train", 0)
    other, _ = make_clip(Settings(seed=1), "bell", "train", 0)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def features(samples):
    _, _, spectrum = signal.stft(samples, 16000, nperseg=512, noverlap=256)
    power, edges = np.abs(spectrum) ** 2, np.unique(np.geomspace(3, 257, 33).astype(int))
    bands = np.log(np.array([power[low:high].mean(0) for low, high in itertools.pairwise(edges)]) + 1e-10)
    bands -= bands.mean()
    return np.concatenate([bands.mean(1), bands.std(1), np.abs(np.diff(bands, axis=1)).mean(1)])


def test_five_clips_a_class_teach_something_but_far_from_everything(demo):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    root, rows = demo
    inputs = np.array([features(audio.load_mono(root / row["path"], 16000)) for row in rows])
    labels, splits = np.array([row["label"] for row in rows]), np.array([row["split"] for row in rows])
    train = np.concatenate([np.flatnonzero((labels == label) & (splits == "train"))[:5] for label in sorted(CLASSES)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(inputs[train], labels[train])
    accuracy = model.score(inputs[splits == "test"], labels[splits == "test"])
    assert 0.4 < accuracy < 0.85
