import json

import pandas as pd
import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.make_pairs.spec import Request, Settings
from tasks.make_pairs.stage import COLUMNS, run

LONG = 'Sound of a dog, barking "loudly", then — far away — ' + "a train passes, " * 16
TEMPLATE = "Sound of a dog"
SCORES = {"g0": 0.5, "g1": 0.1, "a0": 0.3, "a1": 0.9, "a2": 0.2, "b0": 0.4, "b1": 0.4, "b2": 0.7}


def write(root, folder, rows):
    made = []
    for clip_id, parents, caption, scored, values in rows:
        origin = "generate" if parents else "gold"
        scores = {"clap_cosine": SCORES[clip_id]} if scored else {}
        fields = {"label": "dog", "split": "train", "caption": caption, "duration_s": 1.5, "scores": scores} | values
        made.append(manifest.row(clip_id, f"stages/{origin}/aa/audio/{clip_id}.flac", origin, parents=parents, **fields))
    manifest.write(root / folder, manifest.frame(made))


@pytest.fixture
def data_root(tmp_path):
    """Two gold clips; three clips each, with one template and one long caption; one rejected by the rule, one silent."""
    rejected, silent = {"status": "rejected", "reason": "clap_rank 5 is worse than 3"}, {"status": "rejected", "reason": "silent"}
    for folder, scored in (("stages/generate/aa", False), ("stages/clap_filter/aa", True)):
        write(tmp_path, folder, [
            ("a0", ["g0"], TEMPLATE, scored, {}), ("a1", ["g0"], TEMPLATE, scored, {}),
            ("a2", ["g0"], TEMPLATE, scored, rejected if scored else {}),
            ("b0", ["g1"], LONG, scored, {}), ("b1", ["g1", "g0"], LONG, scored, {}), ("b2", ["g1"], "other", scored, {}),
            ("c0", ["g1"], LONG, False, silent),
        ])  # fmt: skip
    write(tmp_path, "stages/caption/aa", [("g0", [], LONG, False, {}), ("g1", [], LONG, False, {})])
    write(tmp_path, "stages/clap_filter/gold", [("g0", [], LONG, True, {}), ("g1", [], LONG, True, {})])
    return tmp_path


def pair(root, gold="stages/caption/aa", losers=("stages/clap_filter/aa",), **settings):
    output = root / "stages" / "make_pairs" / "aa"
    output.mkdir(parents=True, exist_ok=True)
    result = run(Request(gold, losers, Settings(**settings)), Context(output, root, emit=lambda kind, values: None))
    table = pd.read_parquet(output / "pairs.parquet")
    assert list(table.columns) == list(COLUMNS)
    return result, table


def test_gold_wins_against_every_clip_generated_for_it(data_root):
    for losers in ("stages/generate/aa", "stages/clap_filter/aa"):
        result, table = pair(data_root, losers=(losers,))
        assert result.pairs == 6 and result.gold_clips == 2 and result.without_loser == 0 and result.generated == 6
        assert set(zip(table["preferred_id"], table["not_preferred_id"], strict=True)) == {
            ("g0", "a0"), ("g0", "a1"), ("g0", "a2"), ("g1", "b0"), ("g1", "b1"), ("g1", "b2"),
        }  # fmt: skip
        assert (table["preferred"] == "stages/gold/aa/audio/" + table["preferred_id"] + ".flac").all()
        assert (table["not_preferred"] == "stages/generate/aa/audio/" + table["not_preferred_id"] + ".flac").all()
        assert (table["split"] == "train").all() and (table["seconds"] == 1.5).all() and table["margin"].isna().all()
        assert result.mean_margin is None


def test_captions_arrive_whole_in_both_files(data_root):
    _, table = pair(data_root)
    assert set(table["captions"]) == {TEMPLATE, LONG, "other"} and len(LONG) > 300
    assert list(pd.read_csv(data_root / "stages/make_pairs/aa/pairs.csv")["captions"]) == list(table["captions"])


def test_crpo_ranks_the_generated_clips_of_one_prompt(data_root):
    result, table = pair(data_root, method="crpo")
    # g1's two clips of the long caption score alike, and "other" has one clip only: no pair.
    assert [tuple(row) for row in table[["preferred_id", "not_preferred_id", "captions"]].to_numpy()] == [("a1", "a2", TEMPLATE)]
    assert table["margin"][0] == pytest.approx(SCORES["a1"] - SCORES["a2"]) and result.without_loser == 1
    assert result.mean_margin == pytest.approx(0.7)


def test_clap_ranked_lets_the_gold_clip_win_but_never_lose(data_root):
    _, table = pair(data_root, gold="stages/clap_filter/gold", method="clap_ranked")
    found = {(row.gold_id, row.captions): (row.preferred_id, row.not_preferred_id) for row in table.itertuples()}
    assert found == {("g0", TEMPLATE): ("a1", "a2")}, "g1 scores worst, yet is no loser, and its clips score alike"
    better = {"scores": {"clap_cosine": 0.8}}
    write(data_root, "stages/clap_filter/gold", [("g0", [], LONG, True, {}), ("g1", [], LONG, True, better)])
    _, table = pair(data_root, gold="stages/clap_filter/gold", method="clap_ranked")
    found = {(row.gold_id, row.captions): (row.preferred_id, row.not_preferred_id) for row in table.itertuples()}
    assert found == {("g0", TEMPLATE): ("a1", "a2"), ("g1", LONG): ("g1", "b0"), ("g1", "other"): ("g1", "b2")}
    _, table = pair(data_root, gold="stages/clap_filter/gold", method="clap_ranked", min_margin=0.5)
    assert list(table["gold_id"]) == ["g0"]


def test_missing_scores_are_named_with_the_way_out(data_root):
    with pytest.raises(InvalidValueError, match=r"crpo needs the score clap_cosine.*use the folders that clap_filter made"):
        pair(data_root, losers=("stages/generate/aa",), method="crpo")
    with pytest.raises(InvalidValueError, match=r"clip g0: clap_ranked needs.*through clap_filter, or use crpo"):
        pair(data_root, gold="stages/caption/aa", method="clap_ranked")
    with pytest.raises(InvalidValueError, match="needs the score speech"):
        pair(data_root, method="crpo", score="speech")


@pytest.mark.parametrize("split", ["val", "test", ""])
@pytest.mark.parametrize("folder", ["stages/caption/aa", "stages/clap_filter/aa"])
def test_clips_that_are_not_train_clips_are_refused(data_root, folder, split):
    table = manifest.read(data_root / folder)
    table.loc[0, "split"] = split
    manifest.write(data_root / folder, table)
    with pytest.raises(InvalidValueError, match="not a train clip"):
        pair(data_root)


def test_strangers_doubles_and_nothing_to_pair_are_refused(data_root):
    with pytest.raises(InvalidValueError, match="clip comes twice"):
        pair(data_root, losers=("stages/clap_filter/aa", "stages/generate/aa"))
    with pytest.raises(InvalidValueError, match="no pair among 2 gold and 6 generated"):
        pair(data_root, method="crpo", min_margin=5.0)
    write(data_root, "stages/generate/bb", [("a0", ["g9"], TEMPLATE, False, {})])
    with pytest.raises(InvalidValueError, match=r"clip a0: generated for a clip that .* does not hold.*'g9'"):
        pair(data_root, losers=("stages/generate/bb",))
    with pytest.raises(InvalidValueError, match="at least one folder"):
        Request("stages/caption/aa", ())


def test_same_request_same_bytes_and_json_ready_result(data_root):
    from core.contract import build, to_dict
    from tasks.make_pairs.spec import Result

    first, _ = pair(data_root)
    names = ("pairs.parquet", "pairs.csv")
    written = [(data_root / "stages/make_pairs/aa" / name).read_bytes() for name in names]
    pair(data_root)
    assert written == [(data_root / "stages/make_pairs/aa" / name).read_bytes() for name in names]
    assert build(Result, json.loads(json.dumps(to_dict(first)))) == first
