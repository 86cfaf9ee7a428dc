import csv
import json
import math
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core import audio, manifest
from core.context import Context
from tasks.report import statistics
from tasks.report.spec import ArmRun, Request, Settings
from tasks.report.stage import run

HOSTILE = '<script>alert("x")</script> & "quotes"'


def dataset(root, folder, count, origin="gold", **values):
    rows = []
    for number in range(count):
        path = f"{folder}/audio/{number}.wav"
        tone = 0.2 * np.sin(2 * np.pi * (200 + 90 * number) * np.arange(8000) / 16000)
        audio.write(root / path, tone.astype(np.float32), 16000)
        given = {"label": f"class_{number % 2}", "split": "train", "caption": HOSTILE, "duration_s": 0.5, **values}
        if origin == "generate" and number % 3 == 0:
            given |= {"status": "rejected", "reason": "clap_rank 5 is worse than 3"}
        rows.append(manifest.row(manifest.clip_id(folder, number), path, origin, **given))
    manifest.write(root / folder, manifest.frame(rows))


def training(root, name, accuracy, seed):
    labels = [f"class_{i % 2}" for i in range(40)]
    right = np.random.default_rng(seed).permutation(np.arange(40) < round(40 * accuracy))
    predicted = [label if good else f"class_{1 - int(label[-1])}" for label, good in zip(labels, right, strict=True)]
    folder = root / f"stages/train_ast/{name}"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"clip_id": [f"t{i:02d}" for i in range(40)], "split": "test", "label": labels, "predicted": predicted})
    frame.to_parquet(folder / "predictions.parquet")
    pairs = list(zip(labels, predicted, strict=True))
    matrix = [[pairs.count((f"class_{a}", f"class_{b}")) for b in (0, 1)] for a in (0, 1)]
    result = {
        "test_accuracy": float(right.mean()),
        "val_accuracy": accuracy,
        "test_macro_f1": accuracy,
        "train_clips": 50,
        "confusion": matrix,
    }
    (folder / "result.json").write_text(json.dumps({**result, "classes": ["class_0", "class_1"]}))
    (folder / "curves.json").write_text(json.dumps([{"step": s, "loss": 1.0, "val_accuracy": accuracy * s / 20} for s in (10, 20)]))
    return f"stages/train_ast/{name}"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    dataset(root, "stages/prepare/aa", 6)
    with (root / "stages/prepare/aa/rejected.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("file", "line", "column", "reason", "detail", "path"))
        writer.writerow(("clips.csv", "7", "path", "silent", "peak -90 dB", HOSTILE))
    dataset(root, "stages/caption/aa", 4)
    dataset(root, "stages/generate/aa", 8, "generate")
    dataset(root, "stages/clap_filter/aa", 8, "generate", scores={"clap_cosine": 0.25})
    arms = tuple(
        ArmRun(arm, seed, training(root, f"arm{number}-{seed}", accuracy + seed / 40, 10 * seed + number))
        for number, (arm, accuracy) in enumerate((("gold only", 0.5), ("gold + synthetic", 0.8)))
        for seed in (1, 2)
    )
    output = root / "stages/report/aa"
    output.mkdir(parents=True)
    request = Request(
        "synthio · test", "stages/prepare/aa", "stages/caption/aa", ("stages/generate/aa",), ("stages/clap_filter/aa",), ("from_noise",),
        arms,
        "num_samples: 4\n", "./run.sh synthio a=<b>", Settings(max_clips=10),
    )  # fmt: skip
    result = run(request, Context(output, root, emit=lambda kind, values: None))
    return output, result


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.scripts, self.text = [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        self.scripts += tag == "script"
        self.sources += [values[name] for name in ("src", "href") if values.get(name)]

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_self_contained_and_escapes_what_it_is_given(study):
    output, _ = study
    text = (output / "index.html").read_text()
    page = Page(text)
    assert page.scripts == 1 and HOSTILE in "".join(page.text) and "<script>alert" not in text
    local = [source for source in page.sources if not source.startswith(("#", "data:"))]
    assert local and all((output / source).is_file() for source in local), "every asset exists, none is on another server"
    assert len([tag for tag, _ in page.tags if tag == "audio"]) == 10
    assert all(values.get("alt") for tag, values in page.tags if tag == "img")
    assert "2 more clips" in text and "peak -90 dB" in text and "./run.sh synthio a=&lt;b&gt;" in text


def test_scores_are_those_of_the_trainings(study):
    output, result = study
    rows = json.loads((output / "scores.json").read_text())
    assert [row["arm"] for row in rows] == ["gold only", "gold + synthetic"]
    assert (
        rows[0]["test"] == f"{100 * result.accuracy['gold only']:.1f}"
        and rows[1]["delta"] == f"{100 * result.delta['gold + synthetic']:+.1f}"
    )
    assert result.delta["gold + synthetic"] == pytest.approx(0.3, abs=0.02)
    assert "gold + synthetic" in result.headline and "it helps" in result.headline and "gold only" in result.table
    assert (output / "scores.md").read_text().count("---|") == len(rows[0])
    with (output / "scores.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 2


def test_statistics_against_independent_computations():
    values = np.array([0.5, 0.6, 0.55])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.t_interval(values) == pytest.approx((expected.low, expected.high))
    assert statistics.t_interval(values[:1]) is None
    first = np.array([1.0] * 10 + [0.0] * 12)
    second = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 9 + [0.0] * 3)
    mcnemar = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
    assert statistics.sign_flip(first, second, 20_000, 0) == pytest.approx(mcnemar, abs=0.01), "with one seed it is McNemar's exact test"
    assert statistics.sign_flip(first, first, 500, 0) == 1.0
    halves = np.array([0.0, 0.5, 1.0] * 20)
    assert statistics.sign_flip(halves, np.minimum(1.0, halves + 0.5), 2000, 0) < 0.01
    rng = np.random.default_rng(0)
    before = rng.random(400)
    after = before + rng.normal(0.1, 0.2, 400)
    low, high = statistics.paired_bootstrap(before, after, 4000, 0)
    half = 1.96 * np.std(after - before) / 20
    assert low == pytest.approx((after - before).mean() - half, abs=0.004)
    assert high == pytest.approx((after - before).mean() + half, abs=0.004)
    assert statistics.paired_bootstrap(before, after, 500, 1) == statistics.paired_bootstrap(before, after, 500, 1)
