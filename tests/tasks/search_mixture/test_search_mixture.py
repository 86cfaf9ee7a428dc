import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from core import manifest
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.search_mixture import space, stage
from tasks.search_mixture.spec import Request, Settings, Source
from tasks.train_ast import stage as train_stage
from tasks.train_ast.spec import Request as Training
from tasks.train_ast.spec import Settings as Classifier
from tasks.train_ast.spec import Source as Part
from tests.tasks.train_ast.sounds import dataset

GOLD, MADE, NOISY, PREPARED = (f"stages/{name}/aa" for name in ("stratify", "clap_filter", "augment", "prepare"))
SMALL = {"trials": 6, "wave": 2, "startup_trials": 3, "step_share": 0.5, "looks": 2, "pruner_judges": 2}
CLASSIFIER = Classifier(steps=16, batch_clips=6)


def spread(rows):
    """Give clips the scores of a filter that kept the better half of each label."""
    for number, row in enumerate(rows):
        cosine = (number % 4) / 10
        row["scores"] = json.dumps({"clap_cosine": cosine, "clap_rank": float(4 - number % 4), "clap_sigmoid": 0.5 + cosine})
        row["origin"], row["status"] = "generate", "accepted" if cosine >= 0.2 else "rejected"
        row["reason"] = "" if cosine >= 0.2 else "clap_cosine is below 0.2"
    return rows


@pytest.fixture(scope="module")
def made_root(tmp_path_factory):
    """Gold clips, filtered ones, noisy ones, validation clips; test clips are in the manifest, but there are no files."""
    root = tmp_path_factory.mktemp("search")
    dataset(root, GOLD, {"train": 2})
    made = spread(dataset(root, MADE, {"train": 4}))
    made[0] |= {"scores": "{}", "status": "rejected", "reason": "silent"}
    manifest.write(root / MADE, manifest.frame(made))
    dataset(root, NOISY, {"train": 2})
    for row in dataset(root, PREPARED, {"val": 3, "test": 3}):
        if row["split"] == "test":
            (root / row["path"]).unlink()
    return root


@pytest.fixture
def data_root(made_root, tmp_path):
    """A copy of these, to search in."""
    shutil.copytree(made_root, tmp_path, dirs_exist_ok=True)
    return tmp_path


def wave(first, count, previous="", **settings):
    return Request(
        train=(GOLD, MADE, NOISY), evaluation=PREPARED, gold=GOLD, arm="mixed",
        sources=(Source("made", (MADE,), filtered=True), Source("noisy", (NOISY,))),
        classifier={name: value for name, value in to_dict(CLASSIFIER).items() if name not in ("pretrained", "num_devices")},
        first=first, shards=count, previous=previous, settings=Settings(**{**SMALL, **settings}),
    )  # fmt: skip


def search(root, name="run", workers=1, emit=lambda kind, values: None, stop_after=99, **settings):
    """Run the waves, each by some children that take the shards in turn; returns the last result and its folder."""
    previous = result = ""
    for first, count in Settings(**{**SMALL, **settings}).waves[:stop_after]:
        request = wave(first, count, previous, **settings)
        output = root / "stages/search_mixture" / f"{name}{first}"
        output.mkdir(parents=True, exist_ok=True)
        context = Context(output, root, threads=1, emit=emit)
        for worker in range(workers):
            left = [shard for shard in range(count) if not context.shard_is_done(shard)]
            stage.run_shards(request, context, left[:: workers - worker])
        result = stage.run(request, context)
        previous = f"stages/search_mixture/{name}{first}"
    return result, output


def written(output):
    return {name: (output / name).read_bytes() for name in ("best.json", "trials.json", "table.csv", "curves.json")}


@pytest.fixture(scope="module")
def whole(made_root):
    """An uninterrupted search by one worker."""
    said = []
    result, output = search(made_root, emit=lambda kind, values: said.append((kind, values)), weights=True)
    return result, output, said


def test_it_tries_writes_and_names_the_best_without_opening_a_test_clip(whole):
    result, output, said = whole
    told = json.loads((output / "trials.json").read_text())
    assert [one["number"] for one in told] == list(range(6)) and result.trials == 6
    finished = [one for one in told if one["state"] == "complete"]
    best = max(finished, key=lambda one: one["value"])
    chosen = json.loads((output / "best.json").read_text())
    assert (result.best_trial, chosen["trial"]) == (best["number"],) * 2 and result.val_score == best["val_score"] == chosen["val_score"]
    assert result.val_score >= result.untuned_val_score == told[0]["val_score"] and told[0]["score"] == ""
    assert chosen["gold_fraction"] == best["gold_fraction"] and chosen["bound"] == best["bound"]
    for one in told[1:]:
        assert one["gold_fraction"] == pytest.approx(1 / (1 + one["tried"]["ratio"])) and 0.125 <= one["tried"]["ratio"] <= 8
        assert one["score"] == "top_share" and 0.2 <= one["bound"] <= 1 and set(one["weights"]) == {"made", "noisy"}
        assert 3 <= one["clips"]["made"] <= 11 and one["clips"]["gold"] == one["clips"]["noisy"] == 6
    assert len({one["tried"]["ratio"] for one in told}) == 6, "every trial tries something else"
    assert told[0]["clips"]["made"] == 6, "trial 0 is what the filter decided"
    looks = json.loads((output / "curves.json").read_text())
    assert all([step for step, _ in looks[str(one["number"])]] == [4, 8] for one in finished)
    steps = [values["done"] / values["total"] for kind, values in said if kind == "progress"]
    assert steps and 0 < max(steps) <= 1


def test_two_workers_and_a_kill_change_no_byte(whole, data_root, monkeypatch):
    _, expected, _ = whole
    real, begun = stage.try_out, []

    def killed(number, *rest):
        begun.append(number)
        if number == 3:
            real(number, *rest)
            raise KeyboardInterrupt  # trained, but not recorded
        return real(number, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "try_out", killed)
        with pytest.raises(KeyboardInterrupt):
            search(data_root, "two", workers=2, weights=True)
    assert begun == [0, 1, 2, 3]
    again = []
    monkeypatch.setattr(stage, "try_out", lambda number, *rest: again.append(number) or real(number, *rest))
    _, output = search(data_root, "two", workers=2, weights=True)
    assert again == [3, 4, 5], "finished trials are not repeated; the one that was cut off is"
    assert written(output) == written(expected)


def test_the_choice_trained_by_train_ast_gives_the_trials_score(whole, data_root):
    result, output, _ = whole
    target = data_root / "stages/search_mixture/found"
    shutil.copytree(output, target)
    for row in dataset(data_root, PREPARED, {"val": 3, "test": 3}):
        assert (data_root / row["path"]).is_file()
    parts = (Part("made", (MADE,), filtered=True), Part("noisy", (NOISY,)))
    settings = replace(CLASSIFIER, steps=8, evaluate_every=4)
    training = Training((GOLD, MADE, NOISY), PREPARED, 0, settings, GOLD, parts, "stages/search_mixture/found")
    trained = data_root / "stages/train_ast/one"
    trained.mkdir(parents=True)
    found = train_stage.run(training, Context(trained, data_root, threads=1, emit=lambda kind, values: None))
    told = json.loads((output / "trials.json").read_text())[result.best_trial]
    assert found.val_score == result.val_score and found.best_step == told["best_step"]
    assert found.train_clips == sum(told["clips"].values())
    assert found.mixture == {name: told[name] for name in ("gold_fraction", "weights", "score", "bound")}


def test_waves_know_earlier_waves_only(whole):
    _, output, _ = whole
    told = json.loads((output / "trials.json").read_text())
    request = wave(4, 2, "before", weights=True)
    ranges, default = space.space(request), space.default(request)
    for number in (4, 5):
        assert stage.proposal(number, told[:4], ranges, default, 3, 0) == told[number]["tried"]
    for best in (1, 2, 3):
        known = [{**one, "state": "complete", "value": float(one["number"] == best)} for one in told[:4]]
        near = stage.proposal(4, known, ranges, default, 3, 0)
        assert near == stage.proposal(4, known[::-1], ranges, default, 3, 0), "whatever the order they ended in"
        assert near not in [stage.proposal(4, [{**one, "value": -one["value"]} for one in known], ranges, default, 3, 0)]
    assert stage.proposal(2, told[:2], ranges, default, 3, 0) == stage.proposal(2, [], ranges, default, 3, 0) == told[2]["tried"]
    points = [stage.proposal(number, [], ranges, default, 99, 0)["threshold"] for number in range(1, 17)]
    quarters = np.histogram(points, bins=4, range=(0.2, 1.0))[0]
    assert quarters.tolist() == [4] * 4, "Sobol points fill the range evenly"


def test_a_hopeless_trial_is_ended_by_the_median(data_root, monkeypatch):
    ended = []
    for name, pruner in (("pruned", "median"), ("whole", "none")):
        told = [
            {"number": number, "state": "complete", "value": 2.0, "tried": {"ratio": 1.0, "threshold": 0.5}, "looks": [[4, 2.0], [8, 2.0]],
             "val_score": 1.0, "best_step": 4, "gold_fraction": 0.5, "weights": {}, "score": "top_share", "bound": 0.5, "clips": {},
             "ended": ""}
            for number in range(2)
        ]  # fmt: skip
        before = data_root / "stages/search_mixture" / f"{name}-before"
        before.mkdir(parents=True)
        (before / "trials.json").write_text(json.dumps(told))
        output = before.with_name(name)
        output.mkdir()
        request = wave(2, 1, f"stages/search_mixture/{before.name}", pruner=pruner)
        context = Context(output, data_root, threads=1, emit=lambda kind, values: None)
        stage.run_shards(request, context, [0])
        result = stage.run(request, context)
        last = json.loads((output / "trials.json").read_text())[-1]
        ended.append((last["state"], len(last["looks"]), result.pruned))
        assert result.best_trial == 0
    assert ended == [("pruned", 1, 1), ("complete", 2, 0)], "no number of validation clips gives a score of 2"


def test_a_bound_that_keeps_no_clip_ends_the_trial_and_not_the_search(data_root):
    alone = replace(wave(0, 2, score="cosine", threshold=(0.5, 0.9)), train=(MADE,), sources=(Source("made", (MADE,), filtered=True),))
    output = data_root / "stages/search_mixture/none"
    output.mkdir(parents=True)
    context = Context(output, data_root, threads=1, emit=lambda kind, values: None)
    stage.run_shards(alone, context, [0, 1])
    result = stage.run(alone, context)
    assert (result.best_trial, result.pruned) == (0, 1)
    assert json.loads((output / "trials.json").read_text())[1]["ended"] == "keeps no clip"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": ()}, "nothing to try"), ({"first": 2}, "broken chain"),
        ({"settings": Settings(ratio=None, threshold=None)}, "nothing to try"),
    ],
)  # fmt: skip
def test_searches_that_cannot_be_are_refused(change, said):
    with pytest.raises(InvalidValueError, match=said):
        replace(wave(0, 2), **change)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"ratio": (2.0, 1.0)}, "no range"), ({"threshold": (0.5, 1.5)}, "out of range"), ({"trials": 1}, "out of range")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(InvalidValueError, match=said):
        Settings(**settings)


def test_a_leak_is_refused(data_root):
    table = manifest.read(data_root / NOISY)
    kept_out = manifest.read(data_root / PREPARED)
    table.at[0, "parents"] = [kept_out.loc[kept_out["split"] == "val", "clip_id"].iloc[0]]
    manifest.write(data_root / NOISY, table)
    with pytest.raises(InvalidValueError, match="descend from"):
        search(data_root, "leak", stop_after=1)


def test_it_finds_the_bound_that_keeps_wrongly_labelled_clips_out(tmp_path):
    """The filter kept everything; clips with a low score have another kind's label, so that a strict bound and many gold clips pay."""
    dataset(tmp_path, GOLD, {"train": 1})
    made = dataset(tmp_path, MADE, {"train": 8})
    wrong = {"low": "high", "high": "noise", "noise": "low"}
    for number, row in enumerate(made):
        right = number % 8 < 3
        row["label"] = row["label"] if right else wrong[row["label"]]
        row["scores"] = json.dumps({"clap_cosine": 0.5 + number / 1000 if right else number / 1000})
    manifest.write(tmp_path / MADE, manifest.frame(made))
    dataset(tmp_path, PREPARED, {"val": 8, "test": 1})
    settings = {"trials": 8, "wave": 4, "startup_trials": 6, "step_share": 1.0, "looks": 4, "threshold": (0.1, 1.0), "pruner": "none"}
    previous = ""
    for first, count in Settings(**settings).waves:
        request = replace(
            wave(first, count, previous, **settings), train=(GOLD, MADE), sources=(Source("made", (MADE,), filtered=True),),
            classifier={**wave(0, 2).classifier, "steps": 40, "batch_clips": 12},
        )  # fmt: skip
        output = tmp_path / f"stages/search_mixture/wrong{first}"
        output.mkdir(parents=True)
        context = Context(output, tmp_path, threads=1, emit=lambda kind, values: None)
        stage.run_shards(request, context, list(range(count)))
        result, previous = stage.run(request, context), f"stages/search_mixture/wrong{first}"
    assert result.val_score > result.untuned_val_score + 0.1
    assert result.bound < 0.5 or result.gold_fraction > 0.7, "few of the others, or only those that are right"
