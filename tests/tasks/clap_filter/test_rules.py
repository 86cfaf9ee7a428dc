import json

import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_filter.spec import Request, Settings
from tasks.clap_filter.stage import run, run_shards
from tasks.clap_model import loading
from tasks.clap_model.rules import decide, decide_again


def scored(clip_id, label, cosine, rank=1.0, status="accepted"):
    return {
        "clip_id": clip_id, "label": label, "status": status, "reason": "" if status == "accepted" else "silent",
        "scores": json.dumps({"clap_cosine": cosine, "clap_sigmoid": 0.5, "clap_rank": rank}) if status == "accepted" else "{}",
    }  # fmt: skip


def kept(rows, score, bound):
    rows = [dict(row) for row in rows]
    decide(rows, (score, bound))
    assert all((row["status"] == "accepted") == (not row["reason"]) for row in rows)
    return [row["clip_id"] for row in rows if row["status"] == "accepted"]


ROWS = [
    scored("1", "a", 0.1), scored("2", "a", 0.5, 2.0), scored("3", "a", 0.5, 3.0), scored("4", "a", -0.2, 4.0),
    scored("5", "b", 0.0, 2.0), scored("6", "b", 0.9), scored("7", "b", 0.0, status="rejected"),
]  # fmt: skip


def test_top_k_keeps_the_best_of_each_label_with_ties_by_clip_id():
    assert kept(ROWS, "top_k", 1) == ["2", "6"] and kept(ROWS, "top_k", 2) == ["2", "3", "5", "6"] and kept(ROWS, "top_k", 0) == []
    assert kept(ROWS[::-1], "top_k", 1) == ["6", "2"], "whatever the order"
    assert kept(ROWS, "top_k", 100) == ["1", "2", "3", "4", "5", "6"], "what came rejected stays rejected"


def test_top_share_keeps_the_nearest_number_and_at_least_one():
    assert kept(ROWS, "top_share", 0.5) == ["2", "3", "6"] and kept(ROWS, "top_share", 0.01) == ["2", "6"]
    assert kept(ROWS, "top_share", 0.0) == [] and len(kept(ROWS, "top_share", 1.0)) == 6


def test_bounds_on_a_clips_own_score():
    assert kept(ROWS, "cosine", 0.1) == ["1", "2", "3", "6"] and kept(ROWS, "rank", 2) == ["1", "2", "5", "6"]
    assert kept(ROWS, "sigmoid", 0.5) == ["1", "2", "3", "4", "5", "6"] and kept(ROWS, "sigmoid", 0.51) == []


def test_thresholds_out_of_their_range_are_refused():
    for score, threshold in (("sigmoid", 1.2), ("cosine", -2.0), ("rank", 0.0), ("top_share", 1.5), ("top_k", -1.0)):
        with pytest.raises(InvalidValueError, match="out of range"):
            Settings(score=score, threshold=threshold)


def test_nothing_in_gives_nothing_out_without_a_model_loaded(tmp_path):
    manifest.write(tmp_path / "stages/generate/aa", manifest.frame([]))
    (tmp_path / "stages/train_clap/aa").mkdir(parents=True)
    (tmp_path / "stages/train_clap/aa" / loading.CONFIG).write_text('{"compact": {}}')
    output = tmp_path / "stages/clap_filter/aa"
    output.mkdir(parents=True)
    context = Context(output, tmp_path, threads=1, emit=lambda kind, values: None)
    request = Request("stages/generate/aa", "stages/train_clap/aa", 3)
    run_shards(request, context, [0, 1, 2])
    result = run(request, context)
    assert (result.accepted, result.rejected, result.mean_cosine, result.accepted_per_label) == (0, 0, 0.0, {})
    assert len(manifest.read(output)) == 0


def test_another_bound_is_set_without_scoring_again():
    decided = [dict(row) for row in ROWS]
    decide(decided, ("top_k", 1))
    for score, bound in (("top_share", 0.5), ("cosine", 0.1), ("rank", 2)):
        again = decide_again(decided, (score, bound))
        assert [row["clip_id"] for row in again if row["status"] == "accepted"] == kept(ROWS, score, bound)
        assert again[-1] == {**ROWS[-1]}, "what came rejected has no scores and stays rejected"
    assert [row["clip_id"] for row in decided if row["status"] == "accepted"] == ["2", "6"], "the first decision is not changed"
