"""Probes as probe writes them, made here, become tables and a page."""

import json

import numpy as np
import pytest
import soundfile
from scipy import stats

from core.context import Context
from core.errors import InvalidValueError
from tasks.report_probes import sounds, sweeps
from tasks.report_probes.scores import collect, compare, headline, of_probe
from tasks.report_probes.spec import Request, Run
from tasks.report_probes.stage import run

HOSTILE = '<script>alert("x")</script>'
FOLDS = ("1", "2", "3", "4", "5")


def probed(root, name, values, val=0.5, heard=0, folds=FOLDS):
    folder = root / "stages/probe" / name
    folder.mkdir(parents=True)
    scores = {
        "metric": "accuracy", "fold_scores": dict(zip(folds, values, strict=True)), "val_score": val, "chance": 0.1, "heard": heard,
        "per_class_score": {"dog": float(np.mean(values)), HOSTILE: 0.25},
    }  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(scores))
    return f"stages/probe/{name}"


def trained(root, name, collapsed=False, clips=0, **settings):
    folder = root / "stages/train_contrastive" / name
    (folder / "pairs").mkdir(parents=True)
    told = [{"pair": str(number), "told": f"two clips of rain {number}"} for number in range(3)]
    (folder / "pairs/pairs.json").write_text(json.dumps(told))
    about = {"weights": 1000, "steps": 20, "pairs": 160, "align": 0.5, "uniform": -2.0, "saturation": 0.2, "collapsed": collapsed,
             "clips": clips, "settings": {"synth": "voice", "delta": 0.25, **settings}}  # fmt: skip
    (folder / "training.json").write_text(json.dumps(about))
    (folder / "curves.json").write_text(json.dumps({"align": [[1, 1.0], [20, 0.5]], "uniform": [[1, 0.0], [20, -2.0]], "loss": []}))
    for number in range(3):
        for view in ("first", "second"):
            soundfile.write(folder / f"pairs/{number:02d}-{view}.flac", np.zeros(160), 16000)
    return f"stages/train_contrastive/{name}"


@pytest.fixture
def study(tmp_path):
    """Two seeds of one encoder, two of random weights, mel statistics; a linear probe and neighbours."""
    values = {
        "twins": ([0.8, 0.82, 0.78, 0.85, 0.8], [0.82, 0.8, 0.8, 0.83, 0.8]),
        "random": ([0.6, 0.7, 0.62, 0.66, 0.6],) * 2,
        "mel": ([0.7] * 5,),
    }
    runs = []
    for probe in ("linear", "knn"):
        for name, seeds in values.items():
            for seed, scores in enumerate(seeds, 1):
                training = ""
                if name == "twins":
                    training = trained(tmp_path, f"t{seed}") if probe == "linear" else f"stages/train_contrastive/t{seed}"
                runs.append(Run(name, seed, probe, probed(tmp_path, f"{probe}-{name}-{seed}", scores), training))
    return tmp_path, values, tuple(runs)


def test_seeds_are_averaged_and_encoders_are_paired_by_fold(study):
    root, values, runs = study
    encoders = {(item.probe, item.name): item for item in collect(runs, lambda path: root / path)}
    twins, mel = encoders["linear", "twins"], encoders["linear", "mel"]
    by_fold = np.mean(values["twins"], axis=0)
    assert np.allclose(twins.by_fold, by_fold) and twins.mean == pytest.approx(by_fold.mean())
    found, test = compare(mel, twins), stats.ttest_rel(by_fold, values["mel"][0])
    assert found.delta == pytest.approx((by_fold - 0.7).mean()) and found.p == pytest.approx(test.pvalue)
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_page_and_tables_hold_the_finding_and_escape_what_is_hostile(study):
    root, _, runs = study
    output = root / "stages/report_probes/aa"
    output.mkdir(parents=True)
    result = run(Request(f"study {HOSTILE}", runs, "x: 1\n", "./run.sh doppelgangers"), Context(output, root, emit=lambda *_: None))
    page = (output / "index.html").read_text()
    assert "twins: 81.0 % accuracy under the probe linear" in result.headline and "Against mel, 70.0 %: +11.0 points" in result.headline
    assert HOSTILE not in page and "&lt;script&gt;" in page and "./run.sh doppelgangers" in page and page.count("<audio") == 6
    assert all((output / "pairs" / f"00-{number:02d}-{view}.flac").is_file() for number in range(3) for view in ("first", "second"))
    assert "pair 3: two clips of rain 2" in (output / "index.html").read_text()
    assert result.scores["twins, linear"] == pytest.approx(0.81) and "chance" in result.table and result.metric == "accuracy"
    rows = json.loads((output / "scores.json").read_text())
    assert [row["encoder"] for row in rows] == ["twins", "random", "mel", "chance"] * 2 and rows[2]["delta1"] == "–"
    for name in ("scores.csv", "scores.md", "scores.tex"):
        assert "twins" in (output / name).read_text(), name


def test_best_encoder_is_chosen_on_validation_and_heard_clips_are_named(tmp_path):
    runs = (
        Run("lucky", 1, "linear", probed(tmp_path, "a", [0.9] * 5, val=0.5), trained(tmp_path, "a")),
        Run("good", 1, "linear", probed(tmp_path, "b", [0.8] * 5, val=0.7, heard=3), trained(tmp_path, "b", collapsed=True)),
    )
    assert headline(collect(runs, lambda path: tmp_path / path)).startswith("good: 80.0 %")
    (tmp_path / "out").mkdir()
    run(Request("t", runs, "x: 1\n"), Context(tmp_path / "out", tmp_path, emit=lambda *_: None))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "3 test clips were heard" in page and "<b>collapsed</b>" in page


def test_probes_that_do_not_belong_together_are_refused(tmp_path):
    one, other = probed(tmp_path, "a", [0.9] * 5), probed(tmp_path, "b", [0.9] * 2, folds=("1", "2"))
    with pytest.raises(InvalidValueError, match="scored otherwise"):
        collect((Run("a", 1, "linear", one), Run("b", 1, "linear", other)), lambda path: tmp_path / path)
    with pytest.raises(InvalidValueError, match="named twice"):
        Request("t", (Run("a", 1, "linear", one), Run("a", 1, "linear", other)), "")


def test_sweeps_measures_and_parameters_have_their_place(tmp_path):
    """Three deltas of one synthesiser, another synthesiser, real sounds; a baseline; sounds measured; parameters told."""
    runs = []
    about = {
        "d1": {"delta": 0.1}, "d2": {}, "d5": {"delta": 0.5}, "fm": {"synth": "voicefm"}, "real": {"clips": 9, "delta": 0.9},
    }  # fmt: skip
    for number, (name, values) in enumerate(about.items()):
        training = trained(tmp_path, name, **values)
        runs.append(Run(name, 1, "linear", probed(tmp_path, f"linear-{name}", [0.5 + 0.05 * number] * 5), training))
        folder = tmp_path / "stages/probe" / f"parameters-{name}"
        folder.mkdir(parents=True)
        scores = {"metric": "R2", "fold_scores": {"1": 0.2, "2": 0.3}, "val_score": 0.2, "chance": 0.0, "heard": 0,
                  "per_class_score": {"unit.0": 0.9, "unit.1": 0.1, "unit.2": 0.4}}  # fmt: skip
        (folder / "scores.json").write_text(json.dumps(scores))
        runs.append(Run(name, 1, "parameters", f"stages/probe/parameters-{name}", training))
    runs.append(Run("mel", 0, "linear", probed(tmp_path, "linear-mel", [0.4] * 5)))
    factors = tmp_path / "stages/synthesize/aa"
    factors.mkdir(parents=True)
    named = [
        {"name": "vco.tuning", "group": "pitch"},
        {"name": "vco.mod_depth", "group": "modulation"},
        {"name": "lfo.rate", "group": "modulation"},
    ]
    (factors / "synthesiser.json").write_text(json.dumps({"parameters": named}))
    spectral = {
        name: [1.0, 2.0, 3.0, 4.0, 5.0] for name in ("level_dbfs", "centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness_db", "flux")
    }
    sets = {name: {"synth": about[name].get("synth", "voice"), "delta": about[name].get("delta", 0.25), "spectral": spectral,
                   "overlap": dict.fromkeys(spectral, 0.25)} for name in ("d1", "d2", "d5", "fm")}  # fmt: skip
    space = {"frechet_reference": 1.5, "sets": {
        name: {"frechet": 10.0 + number, "twins": 0.1 * number, "strangers": 1.4} for number, name in enumerate(sets)
    }}  # fmt: skip
    measures = {"real": {"clips": 9, "spectral": spectral}, "sets": sets, "spaces": {"mel": space}}
    folder = tmp_path / "stages/measure_sounds/aa"
    folder.mkdir(parents=True)
    (folder / "measures.json").write_text(json.dumps(measures))
    output = tmp_path / "out"
    output.mkdir()
    request = Request("t", tuple(runs), "x: 1\n", measures="stages/measure_sounds/aa", factors="stages/synthesize/aa")
    run(request, Context(output, tmp_path, emit=lambda *_: None))
    page = (output / "index.html").read_text()
    assert "score against δ" in page and "by synthesiser, probe linear" in page and "distance of twins against δ" in page
    assert "halves of the real clips" in page and "vco.tuning (0.90)" in page and "3 [2 … 4] (25%)" in page
    titles, rows = sounds.parameters(of_probe(collect(tuple(runs), lambda path: tmp_path / path), "parameters"), factors)
    assert rows[1]["0"] == "0.250" and rows[1]["best"] == "lfo.rate (0.40)" and rows[0]["number"] == "1" and titles["0"] == "d1"
    _, distances = sounds.distances(measures)
    assert distances[1]["frechet0"] == "11" and distances[-1]["frechet0"] == "1.5" and distances[2]["twins0"] == "0.2"


def test_the_curve_over_delta_has_synthesised_encoders_and_level_baselines(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(sweeps.pictures, "curves", lambda lines, x, y: drawn.update(lines) or "<svg></svg>")
    runs, about = [], {}
    for number, (name, values) in enumerate({"a": {"delta": 0.5}, "b": {"delta": 0.1}, "real": {"clips": 4}}.items()):
        training = trained(tmp_path, name, **values)
        about[name] = json.loads((tmp_path / training / "training.json").read_text())
        runs.append(Run(name, 1, "linear", probed(tmp_path, name, [0.5 + 0.1 * number] * 5), training))
    runs.append(Run("mel", 0, "linear", probed(tmp_path, "mel", [0.4] * 5)))
    found = sweeps.charts(collect(tuple(runs), lambda path: tmp_path / path), ["linear"], about)
    assert len(found) == 1
    assert drawn["linear, voice"] == [pytest.approx((0.1, 60.0)), pytest.approx((0.5, 50.0))]
    assert drawn["linear, mel"] == [pytest.approx((0.1, 40.0)), pytest.approx((0.5, 40.0))]
    assert not sweeps.charts(collect(tuple(runs[1:]), lambda path: tmp_path / path), ["linear"], about), "one delta is no sweep"
