import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from core.gallery import pictures
from tasks.measure_synthetic import spec as measure_synthetic
from tasks.report import stage
from tasks.report.scores import best, collect, headline, sections
from tasks.report.spec import ArmRun, GoldRun, Measured, Request, Settings, SourceRun
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


def training(root, name, accuracy, seed, **values):
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
        "test_accuracy": float(right.mean()), "val_accuracy": accuracy, "test_macro_f1": accuracy, "train_clips": 50, "confusion": matrix,
        "classes": ["class_0", "class_1"], **values,
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "curves.json").write_text(json.dumps([{"step": s, "loss": 1.0, "val_accuracy": accuracy * s / 20} for s in (10, 20)]))
    return f"stages/train_ast/{name}"


def prepared(root):
    dataset(root, "stages/prepare/aa", 6)
    with (root / "stages/prepare/aa/rejected.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("file", "line", "column", "reason", "detail", "path"))
        writer.writerow(("clips.csv", "7", "path", "silent", "peak -90 dB", HOSTILE))


def measured(root, name, gold, synthetic, **values):
    """What measure_synthetic leaves: every field of its result, and the closest pairs."""
    folder = root / f"stages/measure_synthetic/{name}"
    folder.mkdir(parents=True)
    result = dict.fromkeys(measure_synthetic.Result.__dataclass_fields__, 0.25)
    counts = {"clips": 4, "gold_clips": 4, "near_duplicates_of_gold": 1, "near_duplicates_among": 0, "leaked": 0, "pairs_compared": 120}
    (folder / "measures.json").write_text(json.dumps({**result, **counts, **values}))
    made, gold = manifest.read(root / synthetic).to_dict("records"), manifest.read(root / gold).to_dict("records")
    rows = [
        {
            "kind": "synthetic and gold", "clip_id": one["clip_id"], "label": one["label"], "path": one["path"], "other_id": two["clip_id"],
            "other_label": two["label"], "other_path": two["path"], "correlation": 0.9 - 0.3 * i, "lag_s": 0.5,
            "waveform": 0.95 if i == 0 else None, "cosine": 0.5, "duplicate": i == 0,
        }
        for i, (one, two) in enumerate(zip(made[1:3], gold, strict=False))
    ]  # fmt: skip
    (folder / "offenders.json").write_text(json.dumps(rows))
    return f"stages/measure_synthetic/{name}"


def reported(root, name, request):
    output = root / "stages/report" / name
    output.mkdir(parents=True)
    return output, run(request, Context(output, root, emit=lambda kind, values: None))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One draw, two seeds, two arms."""
    root = tmp_path_factory.mktemp("report")
    prepared(root)
    dataset(root, "stages/caption/aa", 4)
    dataset(root, "stages/generate/aa", 8, "generate")
    dataset(root, "stages/clap_filter/aa", 8, "generate", scores={"clap_cosine": 0.25})
    arms = tuple(
        ArmRun(arm, seed, training(root, f"arm{number}-{seed}", accuracy + seed / 40, 10 * seed + number))
        for number, (arm, accuracy) in enumerate((("gold only", 0.5), ("gold + synthetic", 0.8)))
        for seed in (1, 2)
    )
    sources = (SourceRun("from_noise", ("stages/generate/aa",), ("stages/clap_filter/aa",)),)
    request = Request(
        "synthio · test", "stages/prepare/aa", (GoldRun("stages/caption/aa"),), sources, arms, "num_samples: 4\n",
        command="./run.sh synthio a=<b>", settings=Settings(max_clips=10, max_pictures=6),
    )  # fmt: skip
    return reported(root, "aa", request)


DRAWS, SEEDS, SIZES = (0, 1, 2), (1, 2), (4, 6)
SCORES = {"gold only": 0.5, "gold + synthetic": 0.8, "gold | noise & more_": 0.55}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    """Three arms × two sizes × three draws × two seeds, two rounds of self-reflection, measures of the first draw."""
    root = tmp_path_factory.mktemp("matrix")
    prepared(root)
    golds, sources, measures, arms = [], [], [], []
    for size in SIZES:
        for draw in DRAWS:
            where = f"{size}-{draw}"
            dataset(root, f"stages/caption/{where}", size)
            for number in (0, 1):
                dataset(root, f"stages/generate/{where}-{number}", 8 - 4 * number, "generate")
                dataset(root, f"stages/clap_filter/{where}-{number}", 8 - 4 * number, "generate")
            golds.append(GoldRun(f"stages/caption/{where}", size, draw))
            folders = [tuple(f"stages/{stage}/{where}-{number}" for number in (0, 1)) for stage in ("generate", "clap_filter")]
            sources.append(SourceRun("from_noise", *folders, size, draw))
            for number, (arm, score) in enumerate(SCORES.items()):
                for seed in SEEDS:
                    value = score + 0.05 * draw + (0.025 * draw * number) + (seed - 1) / 40
                    path = training(root, f"{where}-{number}-{seed}", value, 1000 * size + 100 * draw + 10 * seed + number)
                    arms.append(ArmRun(arm, seed, path, size, draw))
        path = measured(root, str(size), f"stages/caption/{size}-0", f"stages/clap_filter/{size}-0-0")
        measures.append(Measured("from_noise", path, size, 0))
    request = Request(
        "synthio · matrix", "stages/prepare/aa", tuple(golds), tuple(sources), tuple(arms), "x: 1\n", tuple(measures),
        settings=Settings(max_clips=12, max_pairs=1),
    )  # fmt: skip
    return reported(root, "aa", request), arms, root


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


def told(output):
    """What the script beside the page holds, each clip as a dict."""
    text = (output / "clips.js").read_text()
    assert text.startswith("window.synthloomClips = ") and text.endswith(";\n")
    data = json.loads(text.removeprefix("window.synthloomClips = ").removesuffix(";\n"))
    clips = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    for clip in clips:
        for name in ("label", "kind", "source", "size", "settings", "folder"):
            clip[name] = data[f"{name}s" if name != "settings" else name][clip[name]]
        clip["scores"] = {name: value for name, value in zip(data["scores"], clip["scores"], strict=False) if value is not None}
    return data, clips


def test_page_is_self_contained_and_escapes_what_it_is_given(study):
    output, _ = study
    text = (output / "index.html").read_text()
    page = Page(text)
    assert page.scripts == 2 and HOSTILE in "".join(page.text) and "<script>alert" not in text
    local = [source for source in page.sources if not source.startswith(("#", "data:")) and source != "../../../runs/index.html"]
    assert "clips.js" in local and all((output / source).is_file() for source in local), "every asset exists, none is on another server"
    assert all(values.get("alt") for tag, values in page.tags if tag == "img")
    assert "2 more clips" in text and "peak -90 dB" in text and "./run.sh synthio a=&lt;b&gt;" in text


def test_clips_are_listed_with_all_that_made_them(study):
    output, _ = study
    data, clips = told(output)
    assert data["command"] == "./run.sh synthio a=<b>" and len(clips) == 10 and {clip["caption"] for clip in clips} == {HOSTILE}
    assert [clip["kind"] for clip in clips].count("gold") == 4, "all gold clips are there, since the others come from them"
    assert {clip["kind"] for clip in clips} == {"gold", "accepted", "rejected"} and {clip["source"] for clip in clips} == {"", "from noise"}
    assert sum(clip["pictured"] for clip in clips) == 6 and {clip["suffix"] for clip in clips} == {"wav"}
    for clip in clips:
        assert (output / "assets" / f"{clip['id']}.wav").is_file()
        assert (output / "assets" / f"{clip['id']}.png").is_file() == bool(clip["pictured"])
        assert clip["scores"] == ({} if clip["kind"] == "gold" else {"clap_cosine": 0.25})
        assert clip["reason"] == ("clap_rank 5 is worse than 3" if clip["kind"] == "rejected" else "")
        assert clip["seconds"] == 0.5 and clip["rate"] == 0 and clip["folder"]["listed"] in ("stages/caption/aa", "stages/clap_filter/aa")
        environment = {"caption": "data", "clap_filter": "clap"}[clip["folder"]["stage"]]
        stage_name, root = clip["folder"]["stage"], "${SYNTHLOOM_DATA:-data}"
        request = f"{root}/attempts/{stage_name}/aa/001/request.json"
        output_folder = f"{root}/again/{stage_name}-aa"
        expected = f"envs/{environment}/.venv/bin/python -m core.host {stage_name} {request} --output {output_folder}"
        assert clip["folder"]["by_hand"] == expected
    shares = {kind: sum(clip["pictured"] for clip in clips if clip["kind"] == kind) for kind in ("gold", "accepted", "rejected")}
    assert min(shares.values()) >= 1, "every kind has pictures"


def test_parameters_that_clips_share_are_written_once(tmp_path):
    made = {"seed": 1, "sampler": "v-ddim", "steps": 30, "model": "stages/m/aa", "captions": ["x"] * 50}
    prepared(tmp_path)
    dataset(tmp_path, "stages/stratify/aa", 2, parameters={"line": 7, "source_path": HOSTILE})
    gold = [row["clip_id"] for row in manifest.read(tmp_path / "stages/stratify/aa").to_dict("records")]
    dataset(tmp_path, "stages/generate/aa", 6, "generate", parents=gold, parameters=made)
    request = Request(
        "t", "stages/prepare/aa", (GoldRun("stages/stratify/aa"),), (SourceRun("x", ("stages/generate/aa",), ("stages/generate/aa",)),),
        (ArmRun("a", 1, training(tmp_path, "a", 0.5, 1)),), "x: 1\n", settings=Settings(max_pictures=0),
    )  # fmt: skip
    output, _ = reported(tmp_path, "aa", request)
    data, clips = told(output)
    assert data["settings"] == [{}, {"model": "stages/m/aa", "sampler": "v-ddim", "steps": 30}]
    assert {clip["own"].get("source_path") for clip in clips if clip["kind"] == "gold"} == {HOSTILE}
    own = [clip for clip in clips if clip["kind"] != "gold"]
    assert len(own) == 6 and all(clip["parents"] == gold and clip["own"] == {"seed": 1} for clip in own)
    linked = output / "assets" / f"{own[0]['id']}.wav"
    assert linked.stat().st_nlink == 2 and not list((output / "assets").glob("*.png")), "linked: a second name, no second copy"


def test_scores_are_those_of_the_trainings(study):
    output, result = study
    rows = json.loads((output / "scores.json").read_text())
    assert [row["arm"] for row in rows] == ["gold only", "gold + synthetic"]
    assert rows[0]["test"] == f"{100 * result.accuracy['gold only']:.1f}"
    assert rows[1]["delta"] == f"{100 * result.delta['gold + synthetic']:+.1f}" and result.metric == "accuracy"
    assert result.delta["gold + synthetic"] == pytest.approx(0.3, abs=0.02)
    assert "gold + synthetic" in result.headline and "it helps" in result.headline and "gold only" in result.table
    assert "over test clips" in result.headline and "1 draw × 2 seeds" in result.headline
    assert {(row["delta_unit"], row["n"], row["draws"], row["seeds"]) for row in rows} == {("clips", "–", "1", "2")}
    assert "bootstrap" in (output / "scores.md").read_text() and "not on other gold clips" in (output / "index.html").read_text()
    with (output / "scores.csv").open() as handle:
        assert list(csv.DictReader(handle)) == rows


def test_several_draws_are_compared_draw_by_draw(matrix):
    """Against scipy on the differences, computed here from the trainings' own results."""
    (output, result), arms, root = matrix
    rows = json.loads((output / "scores.json").read_text())
    assert [(row["n"], row["arm"]) for row in rows] == [(str(size), arm) for size in SIZES for arm in SCORES]
    for row in rows:
        size = int(row["n"])
        scores = {
            (run.arm, run.draw, run.seed): json.loads((root / run.path / "result.json").read_text())["test_accuracy"]
            for run in arms
            if run.num_samples == size
        }
        own = np.array([[scores[row["arm"], draw, seed] for seed in SEEDS] for draw in DRAWS])
        base = np.array([[scores["gold only", draw, seed] for seed in SEEDS] for draw in DRAWS])
        assert (row["test"], row["sd"]) == (f"{100 * own.mean():.1f}", f"{100 * own.std(ddof=1):.1f}")
        assert (row["draws"], row["seeds"], row["delta_unit"]) == ("3", "2", "draws")
        if row["arm"] == "gold only":
            assert row["delta"] == row["p"] == "–"
            continue
        difference = (own - base).mean(axis=1)
        test = stats.ttest_rel(own.mean(axis=1), base.mean(axis=1))
        low, high = test.confidence_interval(0.95)
        assert row["delta"] == f"{100 * difference.mean():+.1f}" and row["delta_interval"] == f"{100 * low:+.1f} … {100 * high:+.1f}"
        assert row["p"] == ("< 0.001" if test.pvalue < 0.001 else f"{test.pvalue:.3f}")
        assert row["p_sign_flip"] == "0.250", "all three differences have one sign: 2 of 8 sign changes are as far from zero"
        low, high = stats.ttest_1samp((own - base).ravel(), 0).confidence_interval(0.95)
        assert row["delta_interval_runs"] == f"{100 * low:+.1f} … {100 * high:+.1f}"
    assert set(result.accuracy) == {f"{arm}, n={size}" for size in SIZES for arm in SCORES}
    assert result.headline.count("3 draws × 2 seeds") == 2 and "n = 4" in result.headline and "over draws" in result.headline
    assert result.table.count("gold + synthetic  ") == 2


def test_tables_for_other_programs(matrix):
    (output, _), _, _ = matrix
    text = (output / "scores.md").read_text()
    assert text.count("gold \\| noise & more_") == 2 and text.count("p, paired t over draws") == 2
    lines = (output / "scores.tex").read_text().splitlines()
    assert lines[1] == r"\begin{tabular}{lrrrr}" and lines[-1] == r"\end{tabular}"
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == 3 and all(line.count(" & ") == 4 and line.endswith(r" \\") for line in body)
    assert body[2].startswith(r"gold | noise \& more\_ & ") and r"$\pm$" in body[0] and "[+" in body[1]


def test_page_of_a_matrix_shows_rounds_measures_and_pairs(matrix):
    (output, _), _, _ = matrix
    text = (output / "index.html").read_text()
    page = Page(text)
    shown = " ".join(" ".join(page.text).split())
    assert "Scores, n = 4: 3 draws × 2 seeds" in shown and "Scores, n = 6" in shown and "Of the first of 3 draws." in shown
    # 8 clips a draw in the first round, every third one rejected, then 4; three draws.
    assert "from noise 1 24 15 9 62 % 3" in shown and "from noise 2 12 6 6 50 % 3" in shown
    assert "gold clips drawn, 3 times" in shown and "closer than real" in shown
    pairs = [values for tag, values in page.tags if tag == "article" and values["class"].startswith("card pair")]
    assert [values["class"] for values in pairs] == [
        "card pair copy",
        "card pair copy",
    ] and "spectrogram 0.90 at +0.50 s · waveform 0.95" in shown
    local = [source for source in page.sources if not source.startswith(("#", "data:", "../"))]
    assert all((output / source).is_file() for source in local) and len([tag for tag, _ in page.tags if tag == "audio"]) == 2 * 2
    _, clips = told(output)
    assert len(clips) == 12 and {clip["size"] for clip in clips} == {4, 6}


def test_measures_shown_are_fields_of_the_stage_that_measures():
    source = (Path(stage.__file__).parent / "synthetic.py").read_text()
    names = set(re.findall(r'(?:mean|total)\("(\w+)"', source))
    assert len(names) > 12 and names <= set(measure_synthetic.Result.__dataclass_fields__)


def test_mean_average_precision_is_named_and_compared_over_seeds(tmp_path):
    prepared(tmp_path)
    dataset(tmp_path, "stages/caption/aa", 4)
    values = {"metric": "mAP", "confusion": []}
    scores = {("gold only", 1): 0.4, ("gold only", 2): 0.5, ("more", 1): 0.5, ("more", 2): 0.62}
    arms = []
    for (arm, seed), score in scores.items():
        own = {"test_score": score, "val_score": score, "per_class_score": {"class_0": score}}
        arms.append(ArmRun(arm, seed, training(tmp_path, f"{arm}{seed}", 0.5, seed, **own, **values)))
    request = Request("multi", "stages/prepare/aa", (GoldRun("stages/caption/aa"),), (), tuple(arms), "x: 1\n")
    output, result = reported(tmp_path, "aa", request)
    row = json.loads((output / "scores.json").read_text())[1]
    assert result.metric == row["metric"] == "mAP" and row["test"] == "56.0" and row["delta_unit"] == "seeds"
    low, high = stats.ttest_1samp([0.1, 0.12], 0).confidence_interval(0.95)
    assert row["delta_interval"] == f"{100 * low:+.1f} … {100 * high:+.1f}"
    assert "mAP by class" in (output / "index.html").read_text() and "test mAP" in result.headline


def test_trainings_that_do_not_belong_together_are_refused(tmp_path):
    path = training(tmp_path, "one", 0.5, 1)
    runs = (ArmRun("a", 1, path, 50, 0), ArmRun("a", 1, path, 50, 0))
    with pytest.raises(InvalidValueError, match="named twice"):
        collect(runs, lambda path: tmp_path / path)
    other = training(tmp_path, "two", 0.5, 1, metric="mAP", test_score=0.1, val_score=0.1)
    with pytest.raises(InvalidValueError, match="another metric"):
        collect((ArmRun("a", 1, path), ArmRun("b", 1, other)), lambda path: tmp_path / path)
    table = pd.read_parquet(tmp_path / path / "predictions.parquet")
    table.iloc[1:].to_parquet(tmp_path / other / "predictions.parquet")
    with pytest.raises(InvalidValueError, match="other test clips"):
        collect((ArmRun("a", 1, path), ArmRun("b", 1, other)), lambda path: tmp_path / path)
    clean = training(tmp_path, "three", 0.5, 1)
    table.iloc[1:].to_parquet(tmp_path / clean / "predictions.parquet")
    folds = collect((ArmRun("a", 1, path, 50, 0), ArmRun("a", 1, clean, 50, 1)), lambda path: tmp_path / path)
    assert [len(run.correct) for run in folds[0].runs] == [40, 39], "another draw may have another test fold"
    with pytest.raises(InvalidValueError, match="rounds"):
        SourceRun("x", ("a", "b"), ("a",))


def test_best_arm_is_chosen_on_validation_never_on_test(tmp_path):
    runs = []
    for arm, val, test in (("base", 0.5, 0.5), ("lucky on test", 0.6, 0.9), ("good on validation", 0.7, 0.6)):
        path = training(tmp_path, arm.replace(" ", "_"), test, 1, val_accuracy=val)
        runs.append(ArmRun(arm, 1, path))
    section = sections(collect(runs, lambda path: tmp_path / path))[0]
    assert best(section).name == "good on validation" and "good on validation" in headline(section, Settings())


def test_drawings_take_their_colours_from_the_page():
    matrix = pictures.confusion(np.array([[9, 1], [0, 10]]), ["a", "b"])
    assert "var(--ink" in matrix and "var(--soft" in matrix and "<image" not in matrix and pictures.INK not in matrix
    drawn = pictures.intervals([("gold only", [50.0, 52.0], (40.0, 60.0)), ("other", [55.0], None)], "test accuracy, %")
    assert "gold only" in drawn and "var(--accent" in drawn and drawn.count("<use") >= 5
