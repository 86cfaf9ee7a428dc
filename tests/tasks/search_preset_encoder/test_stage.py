import json
import shutil

import numpy as np
import optuna
import pytest
import torch

from core.context import Context
from core.errors import InvalidValueError
from tasks.preset_encoders import recipes
from tasks.preset_encoders.encoder import complete
from tasks.preset_encoders.examples import open_splits
from tasks.preset_encoders.settings import MODELS
from tasks.search_preset_encoder import spaces, stage, study
from tasks.search_preset_encoder.spec import Request, Settings
from tasks.searching import sampling
from tasks.train_preset_encoder.spec import Settings as TrainSettings
from tests.tasks.train_preset_encoder.sets import FOLDER, SMALL, write

FIXED = {"hidden": 8, "blocks": 1}


@pytest.fixture
def data_root(tmp_path):
    write(tmp_path, 300)
    return tmp_path


def search(root, name="run", emit=lambda kind, values: None, model="mlp_oh", **settings):
    output = root / "stages/search_preset_encoder" / name
    output.mkdir(parents=True, exist_ok=True)
    small = {"trials": 6, "startup_trials": 4, "sizes": FIXED, "batch_presets": 32, "rankings": 8, "candidates": 8, "looks": 2}
    request = Request(FOLDER, model, 3, settings=Settings(**{**small, **settings}))
    return stage.run(request, Context(output, root, emit=emit)), output


def trials(output):
    return json.loads((output / "trials.json").read_text())


def test_search_tries_writes_and_names_the_best(data_root):
    said = []
    result, output = search(data_root, emit=lambda kind, values: said.append((kind, values)))
    told = trials(output)
    finished = [one for one in told if one["state"] == "complete"]
    best = max(finished, key=lambda one: one["val_mrr"])
    assert (result.trials, result.finished, result.pruned) == (6, len(finished), 6 - len(finished)) and len(told) == 6
    assert (result.best_trial, result.best_mrr) == (best["number"], best["val_mrr"])
    assert all([step for step, _ in one["looks"]] == [3, 5] and one["looks"][-1][1] == one["val_mrr"] for one in finished)
    kept = json.loads((output / "best.json").read_text())
    assert kept["learning_rate"] == best["tried"]["learning_rate"] and kept["sizes"] == FIXED and kept["model"] == "mlp_oh"
    assert kept["least_rate"] == pytest.approx(best["tried"]["learning_rate"] * best["tried"]["least_factor"])
    TrainSettings(**{name: value for name, value in kept.items() if name != "model"})
    loaded = optuna.load_study(study_name=study.NAME, storage=f"sqlite:///{output / study.DATABASE}")
    assert loaded.best_value == result.best_mrr and len(loaded.trials) == 6
    assert sorted(path.name for path in output.iterdir()) == ["best.json", "study.db", "trials.json"]
    done = [values["done"] / values["total"] for kind, values in said if kind == "progress"]
    assert done == sorted(done) and done[-1] == 1


def test_the_best_settings_trained_give_the_trials_score(data_root):
    from tests.tasks.train_preset_encoder.sets import train

    result, _ = search(data_root, trials=2, startup_trials=2)
    settings = {**result.best, "betas": tuple(result.best["betas"])}
    again, _ = train(data_root, seed=3, epochs=1, rankings=8, candidates=8, looks_per_epoch=2, select="last", **settings)
    assert again.val_mrr == result.best_mrr, "the same optimiser in search and training"


def test_interrupted_in_a_trial_and_resumed_equals_uninterrupted(data_root, monkeypatch):
    _, whole = search(data_root, "whole")
    real, calls = stage.try_out, []

    def killed(trial, *rest):
        calls.append(trial.number)
        if len(calls) == 6:
            trial.report(0.5, 1)
            raise KeyboardInterrupt
        return real(trial, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "try_out", killed)
        with pytest.raises(KeyboardInterrupt):
            search(data_root, "part")
    said = []
    _, part = search(data_root, "part", emit=lambda kind, values: said.append(values.get("message")))
    assert "goes on after 5 trials" in said and calls == [0, 1, 2, 3, 4, 5]
    assert trials(part) == trials(whole) and (part / "best.json").read_bytes() == (whole / "best.json").read_bytes()


def test_start_up_is_sobol_and_then_multivariate_tpe(data_root, monkeypatch):
    space = spaces.space("mlp_oh", "cpu", "optimiser", {})
    made = optuna.create_study(direction="maximize")
    for number in range(64):
        made.sampler = sampling.sampler(number, 64, 1)
        trial = made.ask(space)
        made.tell(trial, -((np.log10(trial.params["learning_rate"]) + 3) ** 2))
    logs = np.array([np.log10(one.params["learning_rate"]) for one in made.trials[1:]])
    spread = np.sort((logs + 4) / (np.log10(2e-2) + 4))
    assert np.abs(spread - (np.arange(63) + 0.5) / 63).max() < 0.06, "more even than chance: Sobol"
    late = []
    for number in range(64, 84):
        made.sampler = sampling.sampler(number, 64, 1)
        trial = made.ask(space)
        late.append(np.log10(trial.params["learning_rate"]))
        made.tell(trial, -((late[-1] + 3) ** 2))
    assert np.abs(np.array(late) + 3).mean() < 0.6 * np.abs(logs + 3).mean(), "TPE goes where it was good"
    chosen = sampling.sampler(70, 64, 1)
    assert isinstance(chosen, optuna.samplers.TPESampler) and chosen._multivariate and chosen._group


def test_diverged_trials_are_pruned_and_say_so(data_root, monkeypatch):
    made = optuna.create_study(direction="maximize", sampler=sampling.sampler(0, 1, 3))
    splits, request = (
        open_splits(data_root / FOLDER, data_root / FOLDER, "cpu"),
        Request(FOLDER, "mlp_oh", 3, settings=Settings(sizes=FIXED)),
    )
    context = Context(data_root / "none", data_root, emit=lambda *rest: None)
    for limit, pruned in ((1e-3, True), (1e3, False)):
        trial = made.ask(spaces.space("mlp_oh", "cpu", "all", FIXED))
        assert (stage.try_out(trial, request, splits, limit, context) is None) == pruned
        assert ("diverged: training loss" in trial.user_attrs.get("ended", "")) == pruned
        made.tell(trial, 0.5)
    assert not (data_root / "none").exists(), "a trial leaves no files"
    real = torch.nn.functional.l1_loss
    monkeypatch.setitem(stage.Trainee.__init__.__globals__["LOSSES"], "l1", lambda *pair: real(*pair) * float("nan"))
    with pytest.raises(InvalidValueError, match="every trial diverged"):
        search(data_root, "none", trials=2)
    assert all("diverged" in one["ended"] for one in trials(data_root / "stages/search_preset_encoder/none"))


def test_errors_that_are_no_divergence_end_the_search(data_root):
    with pytest.raises(InvalidValueError, match="no such size"):
        search(data_root, sizes={"heads": 2})


def test_limit_is_the_loss_of_the_best_constant(data_root):
    splits = open_splits(data_root / FOLDER, data_root / FOLDER, "cpu")
    wanted = splits.train.embeddings[splits.train.rows]
    scaled = (wanted - wanted.mean(0, dtype=np.float64)) / wanted.std(0, dtype=np.float64)
    assert stage.constant_loss(splits.train, "mse", True) == pytest.approx(1.0, rel=1e-3)
    assert stage.constant_loss(splits.train, "l1", True) == pytest.approx(np.abs(scaled - np.median(scaled, 0)).mean(), rel=1e-4)
    assert stage.constant_loss(splits.train, "l1", False) == pytest.approx(np.abs(wanted - np.median(wanted, 0)).mean(), rel=1e-4)


def test_published_spaces(data_root):
    tfm, highway = spaces.space("tfm", "paper", "all", {}), spaces.space("hn_oh", "paper", "all", {})
    assert (tfm["learning_rate"].low, tfm["learning_rate"].high, tfm["eps"].high, tfm["beta_2"].low) == (1e-5, 8e-3, 1e-6, 0.95)
    assert (highway["learning_rate"].low, highway["learning_rate"].high, highway["beta_1"].low) == (1e-4, 2e-2, 0.75)
    assert (highway["blocks"].low, highway["blocks"].high, highway["blocks"].step) == (2, 16, 2)
    assert set(spaces.space("tfm", "cpu", "optimiser", {})) == set(spaces.OPTIMISER)
    assert "hidden" not in spaces.space("hn_oh", "cpu", "all", {"hidden": 8})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("preset", ["cpu", "paper"])
def test_every_space_names_sizes_and_settings_that_there_are(model, preset):
    space = spaces.space(model, preset, "all", {})
    ends = {name: getattr(one, "low", None) or one.choices[0] for name, one in space.items()}
    told = spaces.settings_of(ends, {}, 0.75)
    assert complete(model, told["sizes"]) and recipes.plan(model, preset, "dexed", 100, **told).learning_rate == ends["learning_rate"]
    assert set(told) - {"sizes"} <= set(TrainSettings.__dataclass_fields__) and SMALL


def test_copy_of_the_database_is_whole_at_any_moment(tmp_path):
    made = study.open_study(tmp_path)
    made.tell(made.ask({}), 1.0)
    study.keep(tmp_path)
    made.ask({})
    (tmp_path / "study.db-journal").write_bytes(b"half a page")
    again = study.open_study(tmp_path)
    assert [trial.value for trial in again.trials] == [1.0] and not (tmp_path / "study.db-journal").exists()
    shutil.rmtree(tmp_path)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(InvalidValueError, match=r"search_preset_encoder\.trials"):
        Settings(trials=0)
    with pytest.raises(InvalidValueError, match="nothing to train on"):
        Request("", "tfm", 0)
