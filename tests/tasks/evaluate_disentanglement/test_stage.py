"""The stage on files as ``featurise`` and ``train_vae`` write them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.context import Context
from core.contract import build, to_dict
from core.errors import InvalidValueError
from tasks.evaluate_disentanglement import metrics, spec
from tasks.evaluate_disentanglement.spec import METRICS, Request, Settings
from tasks.evaluate_disentanglement.stage import run

FEATURES, MODEL, SECOND, THIRD = "stages/featurise/aa", "stages/train_vae/aa", "stages/train_vae/bb", "stages/train_vae/cc"
QUICK = ("mig", "modularity", "sap", "z_min_var", "dci_lasso_disentanglement", "dci_lasso_informativeness")
FACTORS = [
    {"name": "waveform", "kind": "nominal", "values": ["sine", "triangle", "sawtooth", "square"]},
    {"name": "frequency", "kind": "continuous", "unit": "Hz", "values": list(np.linspace(400, 800, 15))},
    {"name": "amplitude", "kind": "continuous", "values": list(np.linspace(0.1, 1, 10))},
    {"name": "phase", "kind": "continuous", "values": [0.0]},
]


def write_features(root, folder=FEATURES, shares=(0.8, 0.1)):
    """600 clips; the constant fourth factor is as a grid has it that varies three."""
    frequency, amplitude, waveform = np.meshgrid(FACTORS[1]["values"], FACTORS[2]["values"], range(4), indexing="ij")
    table = {
        "waveform": waveform.ravel().astype(np.int64),
        "frequency": frequency.ravel(),
        "amplitude": amplitude.ravel(),
        "phase": np.zeros(600),
    }
    draw = np.random.default_rng(0).random(600)
    split = np.where(draw < shares[0], "train", np.where(draw < sum(shares), "val", "test"))
    path = root / folder
    path.mkdir(parents=True)
    frame = pd.DataFrame({"index": np.arange(600), **table, "split": split})
    frame.to_parquet(path / "factors.parquet")
    np.save(path / "features.npy", np.zeros((600, 1, 8, 8), np.float32))
    description = {
        "sample_rate_hz": 16000, "n_fft": 2048, "hop": 512, "mels": 8, "frames": 8, "samples": 16000, "power": 2.0,
        "normalisation": "log_db", "offset": -80.0, "scale": 80.0, "flagged": [], "factors": FACTORS,
    }  # fmt: skip
    (path / "features.json").write_text(json.dumps(description))
    return frame


def write_codes(root, folder, table, seed, rows=600):
    """Codes as a model would find them: waveform and frequency, turned about, amplitude missing; two dimensions collapsed."""
    rng = np.random.default_rng(seed)
    known = np.stack([table["waveform"] / 1.5 - 1, (table["frequency"] - 600) / 120], 1) + 0.15 * rng.standard_normal((600, 2))
    mean = np.hstack([known[:, rng.permutation(2)], 0.001 * rng.standard_normal((600, 2))]).astype(np.float32)[:rows]
    spread = np.hstack([np.full((600, 2), -4.0), np.zeros((600, 2))]).astype(np.float32)[:rows]
    (root / folder).mkdir(parents=True)
    np.savez(root / folder / "codes.npz", mean=mean, log_variance=spread)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("syntone")
    table = write_features(folder)
    for seed, name in enumerate((MODEL, SECOND, THIRD)):
        write_codes(folder, name, table, seed)
    return folder


def evaluated(root, name, request):
    output = root / "stages/evaluate_disentanglement" / name
    output.mkdir(parents=True)
    seen = []
    result = run(request, Context(output, root, emit=lambda kind, values: seen.append((kind, values))))
    return result, json.loads((output / "scores.json").read_text()), seen


@pytest.fixture(scope="module")
def full(root):
    """Everything, on all clips, since there are too few held-out ones."""
    return evaluated(root, "full", Request(FEATURES, MODEL, siblings=(SECOND, THIRD), settings=Settings(repeats=2, legacy_repeats=3)))


def test_every_score_is_there_with_its_spread_and_the_baselines_beside(full):
    result, scores, seen = full
    for part in ("corrected", "baseline_random", "baseline_oracle"):
        assert tuple(sorted(scores[part])) == tuple(sorted(METRICS))
        assert all(set(entry) == {"mean", "sd", "repeats"} and entry["sd"] >= 0 for entry in scores[part].values())
    assert scores["undefined"] == {} and result.scores == {name: entry["mean"] for name, entry in scores["corrected"].items()}
    for part in ("legacy", "legacy_baseline_random", "legacy_baseline_oracle"):
        assert set(scores[part]) == {"mig", "jemmig", "dcimig", "modularity", "sap"}
        assert all(entry["repeats"] == 3 for entry in scores[part].values())
    assert scores["corrected"]["mig"]["repeats"] == 1 and scores["corrected"]["z_diff"]["repeats"] == 2, "means do not change, draws do"
    assert scores["baseline_random"]["mig"]["repeats"] == 2 and scores["baseline_random"]["mig"]["sd"] > 0
    low, mine, high = result.baseline_random["mig"], result.scores["mig"], result.baseline_oracle["mig"]
    assert low < 0.1 < 0.4 < mine < 0.75 < 0.9 < high <= 1, "two of three factors are known"
    assert result.legacy["mig"] != pytest.approx(mine, abs=0.05)
    assert result.active_codes == 2 and 0.8 < result.udr <= 1 and scores["siblings"] == 2
    progress = [values for kind, values in seen if kind == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 3 * 2 * 14
    assert {values["name"] for kind, values in seen if kind == "metric"} == set(METRICS)
    assert build(spec.Result, to_dict(result)) == result


def test_the_factors_are_those_that_vary_and_the_information_is_between_them_and_the_means(full, root):
    scores = full[1]
    table = pd.read_parquet(root / FEATURES / "factors.parquet")
    factors = metrics.Factors(table[["waveform", "frequency", "amplitude"]].to_numpy(), ("nominal", "continuous", "continuous"))
    codes = metrics.Codes(np.load(root / MODEL / "codes.npz")["mean"])
    found = scores["mutual_information"]
    assert found["factors"] == ["waveform", "frequency", "amplitude"] and found["codes"] == ["z1", "z2", "z3", "z4"]
    assert np.array(found["bits"]) == pytest.approx(metrics.information(factors, codes).mutual, abs=1e-6)
    pitch = 5 * 2 / 15 * np.log2(15 / 2) + 5 / 15 * np.log2(15)  # fifteen values in ten bins: five bins have two of them
    assert scores["factor_entropy_bits"] == pytest.approx({"waveform": 2.0, "frequency": pitch, "amplitude": np.log2(10)}, abs=1e-5)
    assert scores["corrected"]["mig"]["mean"] == pytest.approx(metrics.mig(factors, codes))


def test_few_held_out_clips_are_said_and_many_are_taken(full, root):
    result, scores, _ = full
    assert (result.rows, result.evaluated, scores["legacy_rows"]) == (600, "all", 600)
    assert "too few held-out clips" in scores["split_reason"] and "of at least 1000" in scores["split_reason"]
    table = pd.read_parquet(root / FEATURES / "factors.parquet")
    counts = table["split"].value_counts()
    for least, name, rows in ((40, "test", counts["test"]), (80, "val+test", counts["val"] + counts["test"])):
        assert counts["test"] < 80
        settings = Settings(metrics=("mig",), least_held_out=least, legacy_repeats=1)
        result, scores, _ = evaluated(root, f"least{least}", Request(FEATURES, MODEL, settings=settings))
        assert (result.rows, result.evaluated) == (rows, name) and "not trained on" in scores["split_reason"]
        assert scores["legacy_rows"] == 600, "the published convention takes all"
    result, _, _ = evaluated(root, "train", Request(FEATURES, MODEL, settings=Settings(metrics=("mig",), split="train", legacy_repeats=1)))
    assert (result.rows, result.evaluated) == (counts["train"], "train")


def test_sampled_codes_are_drawn_anew_for_each_repeat(root):
    settings = Settings(codes="sampled", metrics=("mig",), repeats=3, legacy_repeats=1)
    _, scores, _ = evaluated(root, "sampled", Request(FEATURES, MODEL, settings=settings))
    assert scores["corrected"]["mig"]["repeats"] == 3 and scores["corrected"]["mig"]["sd"] > 0 and scores["codes"] == "sampled"


def test_baselines_by_themselves(root):
    settings = Settings(metrics=QUICK, repeats=1, legacy_repeats=2, dimensions=8)
    ideal, scores, _ = evaluated(root, "oracle", Request(FEATURES, baseline="oracle", settings=settings))
    assert ideal.scores["mig"] > 0.85 and ideal.scores["dci_lasso_disentanglement"] > 0.8 and ideal.active_codes == 8
    assert len(scores["mutual_information"]["codes"]) == 8 and ideal.udr is None
    assert ideal.legacy["mig"] == pytest.approx(3 / 8, abs=0.02) and ideal.legacy["modularity"] > 0.95
    useless, _, _ = evaluated(root, "random", Request(FEATURES, baseline="random", settings=settings))
    assert useless.scores["mig"] < 0.05 and useless.scores["dci_lasso_informativeness"] < 0.1


def test_baselines_of_another_evaluation_are_what_would_be_computed(root):
    settings = Settings(metrics=QUICK, repeats=2, legacy_repeats=2)
    _, alone, seen_alone = evaluated(root, "computed", Request(FEATURES, MODEL, siblings=(SECOND,), settings=settings))
    shared = Request(FEATURES, baseline="random", settings=replace(settings, dimensions=4))
    evaluated(root, "shared", shared)
    request = Request(FEATURES, MODEL, "none", "stages/evaluate_disentanglement/shared", (SECOND,), settings)
    result, scores, seen = evaluated(root, "taken", request)
    assert scores == alone and result.baseline_oracle["mig"] == alone["baseline_oracle"]["mig"]["mean"]
    last = [[values for kind, values in events if kind == "progress"][-1] for events in (seen_alone, seen)]
    assert last[0]["total"] == 3 * last[1]["total"] == 3 * last[1]["done"]
    for number, wrong in enumerate((replace(settings, seed=1), replace(settings, split="train"), replace(settings, repeats=1))):
        with pytest.raises(InvalidValueError, match="baselines of another evaluation"):
            evaluated(root, f"wrong{number}", replace(request, settings=wrong))
    evaluated(root, "eight", replace(shared, settings=replace(settings, dimensions=8)))
    with pytest.raises(InvalidValueError, match="baselines of another evaluation"):
        evaluated(root, "wrong number", replace(request, baselines="stages/evaluate_disentanglement/eight"))
    with pytest.raises(InvalidValueError, match="no baselines"):
        evaluated(root, "nothing", replace(request, baselines=MODEL))


def test_the_same_request_gives_the_same_bytes(root):
    request = Request(FEATURES, MODEL, siblings=(SECOND,), settings=Settings(metrics=QUICK, repeats=1))
    first, again = (evaluated(root, name, request)[1] for name in ("once", "twice"))
    assert first == again
    other = evaluated(root, "other", Request(FEATURES, MODEL, settings=Settings(metrics=("z_min_var",), seed=1)))[1]
    assert other["corrected"]["z_min_var"]["mean"] != first["corrected"]["z_min_var"]["mean"]


def test_a_metric_that_the_clips_do_not_allow_is_named_and_the_rest_is_scored(tmp_path):
    """Every combination of two factors occurs once: nothing can be held fixed but one factor."""
    table = write_features(tmp_path)
    path = tmp_path / FEATURES
    table = table.iloc[:4].assign(waveform=[0, 1, 0, 1], frequency=[1.0, 1.0, 2.0, 2.0], amplitude=0.5)
    table.to_parquet(path / "factors.parquet")
    np.save(path / "features.npy", np.zeros((4, 1, 8, 8), np.float32))
    table = table.assign(waveform=[0, 1, 2, 3], frequency=[1.0, 2.0, 3.0, 4.0])
    table.to_parquet(path / "factors.parquet")
    (tmp_path / MODEL).mkdir(parents=True)
    np.savez(tmp_path / MODEL / "codes.npz", mean=np.eye(4, 3), log_variance=np.zeros((4, 3)))
    settings = Settings(metrics=("mig", "z_diff", "sap"), repeats=1, legacy_repeats=1)
    result, scores, _ = evaluated(tmp_path, "few", Request(FEATURES, MODEL, settings=settings))
    assert set(result.scores) == {"mig"} and set(scores["undefined"]) == {"z_diff", "sap"}
    assert scores["corrected"]["z_diff"] == {"mean": None, "sd": None, "repeats": 0} and "no two clips" in scores["undefined"]["z_diff"]


def test_codes_of_other_clips_and_missing_codes_are_refused(root, tmp_path):
    table = pd.read_parquet(root / FEATURES / "factors.parquet")
    write_codes(root, "stages/train_vae/short", table, 0, rows=500)
    with pytest.raises(InvalidValueError, match="codes of other clips"):
        evaluated(root, "short", Request(FEATURES, "stages/train_vae/short"))
    with pytest.raises(InvalidValueError, match="no codes"):
        evaluated(root, "none", Request(FEATURES, "stages/train_vae/dd"))
    write_features(tmp_path).assign(frequency=1.0, amplitude=1.0).to_parquet(tmp_path / FEATURES / "factors.parquet")
    with pytest.raises(InvalidValueError, match="too few factors vary"):
        evaluated(tmp_path, "flat", Request(FEATURES, baseline="random"))


def test_the_spec_names_what_the_library_computes():
    assert set(METRICS) == set(metrics.ALL)
    for fields, match in (
        ({"codes": ""}, "one of codes and baseline"),
        ({"codes": MODEL, "baseline": "oracle"}, "one of codes and baseline"),
        ({"codes": MODEL, "siblings": (MODEL,)}, "other models"),
        ({"baseline": "oracle", "baselines": "stages/evaluate_disentanglement/aa"}, "none beside it"),
        ({"codes": MODEL, "settings": {"metrics": ("migg",)}}, "did you mean 'mig'"),
        ({"codes": MODEL, "settings": {"metrics": ()}}, "each metric once"),
        ({"codes": MODEL, "settings": {"repeats": 0}}, "out of range"),
    ):
        with pytest.raises(InvalidValueError, match=match):
            build(Request, {"features": FEATURES, **fields})
