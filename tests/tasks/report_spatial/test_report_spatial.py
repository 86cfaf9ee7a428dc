"""Evaluations, trainings, rooms and scenes made here become tables, a page and sounds."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from core import audio
from core.errors import InvalidValueError
from tasks.report_spatial import listen, scores, tables
from tasks.report_spatial.spec import Request, Run, Settings
from tasks.spatial.catalogue import open_catalogue
from tests.tasks.report_spatial.stand_ins import CHANCE, HOSTILE, ROOMS, SCENES, evaluation, reported, study, surroundings, training


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    found = tmp_path_factory.mktemp("study")
    surroundings(found)
    return found


@pytest.fixture(scope="module")
def page(root):
    output, result = reported(root, "aa", study(root), max_scenes=4)
    return output, result, (output / "index.html").read_text()


def test_finding_names_the_model_that_validates_best_with_both_factors_and_both_leaks(page):
    _, result, text = page
    lift = 12.0 * 1.1 * 1.25  # mean over two seeds and two directions
    assert result.headline.startswith(f"delsa: the source is found first in {100 * CHANCE * lift:.1f} % of queries, {lift:.1f} × chance")
    assert "1.5 × and 1.2 × chance" in result.headline and "22° off in the median" in result.headline
    assert result.scores["delsa, SRC"] == pytest.approx(CHANCE * lift, abs=1e-6) and result.over_chance["other, X-SPA"] == pytest.approx(
        0.5 * 0.9 * 1.25
    )
    assert result.direction_deg == {"delsa": 22.0, "other": 10.0}
    assert "Retrieval by clip and RIR" in result.table and "Physical errors" in result.table and HOSTILE not in text


def test_every_table_has_chance_and_both_directions(page):
    output, _, text = page
    parts = tables.everything(scores.collect(study_runs(output), lambda path: output.parents[2] / path))
    assert list(parts) == [
        "Retrieval by clip and RIR", "Retrieval by words", "Invariance", "Physical errors", "Zero-shot attributes", "Exchanged directions",
        "Retrieval among sounds", "Retrieval among captions",
    ]  # fmt: skip
    titles, rows = parts["Retrieval by clip and RIR"]
    assert len(rows) == 2 * 5 * 2 and rows[0] | {"model": "delsa", "task": "SRC", "side": "text → sound"} == rows[0]
    assert (rows[0]["r1"], rows[0]["chance1"], rows[0]["lift1"]) == ("27.50", "2.08", "13.2") and "…" in rows[0]["sure"]
    assert rows[10]["model"] == "other" and rows[10]["sure"] == "–" and "sure" in titles
    assert parts["Invariance"][1][0]["spatial"] == "infinite" and parts["Invariance"][1][0]["same_space"] == "–"
    assert [(row["quantity"], row["error"]) for row in parts["Physical errors"][1][:4]] == [
        ("direction, °", "24.0"), ("distance, m", "0.50"), ("direction, ° (real recordings)", "41.0"),
        ("the same by the mean intensity vector", "52.5"),
    ]  # fmt: skip
    assert parts["Zero-shot attributes"][1][0]["words"] == "left 80, right 60" and parts["Exchanged directions"][1][0]["swapped"] == "95.0"
    for title in parts:
        assert title in text or title.lower() in text, title
    assert "at most SRC 12.50 %, SPA 50.00 %" in text and "dashed line is chance" in text


def study_runs(output):
    root = output.parents[2]
    found = sorted(path.name for path in (root / "stages/evaluate_spatial").iterdir() if path.name[:-1] in ("delsa", "other"))
    return tuple(Run(name[:-1], int(name[-1]), f"stages/evaluate_spatial/{name}", f"stages/train_spatial/{name}") for name in found)


def test_files_hold_every_number_of_every_run(page):
    output, _, _ = page
    rows = json.loads((output / "scores.json").read_text())
    known = {(row["model"], row["seed"], row["measure"]): row["value"] for row in rows}
    assert known["delsa", 2, "retrieval/SRC/text_to_audio/lift@1"] == pytest.approx(14.4)
    assert known["other", 1, "iidr/audio_source/spatial"] == "infinite"
    assert len(list(csv.DictReader((output / "scores.csv").open()))) == len(rows)
    assert r"\toprule" in (output / "scores.tex").read_text() and "| model | task |" in (output / "scores.md").read_text()


def test_rooms_training_and_published_faults_are_shown(page):
    output, _, text = page
    assert (
        "<b>6e-07</b>" in text and "97.5 %" in text and "<b>1</b>responses that no draw gave" in text and "compat: sides mirrored" in text
    )
    assert {path.name for path in (output / "rooms").iterdir()} == {"directions.svg", "plan_rir0.svg", "decay_rir0.svg"}
    assert 'src="rooms/plan_rir0.svg"' in text and "training loss; a line for each seed" in text and (output / "directions.svg").is_file()


def test_left_is_heard_left_and_directions_take_turns(page):
    output, _, text = page
    assert text.count("<audio") == 8 and text.count("0° off") == 4, "the stand-in tells every direction rightly"
    balances = []
    for path in sorted((output / "scenes").glob("*-stereo.flac")):
        samples, rate_hz = audio.read(path)
        assert rate_hz == 16000 and samples.shape[0] == 2 and np.abs(samples).max() <= 0.9
        balances.append(round(float(np.std(samples[0]) - np.std(samples[1])), 3))
    left, right = sum(value > 0.1 for value in balances), sum(value < -0.1 for value in balances)
    assert (left, right) == (1, 1), "one from each side, one in front, one behind"
    assert "dB</dd>" in text, "a source at half a metre is louder than full scale"


def test_scenes_that_were_only_listed_are_rendered_for_the_page(root, tmp_path):
    surroundings(tmp_path, stored=False)
    output, _ = reported(tmp_path, "aa", study(tmp_path)[:1], max_scenes=2)
    stored, _ = reported(root, "bb", study_runs(root / "stages/report_spatial/x")[:1], max_scenes=2)
    for number in (1, 2):
        one, other = (audio.read(folder / f"scenes/{number:02d}-stereo.flac")[0] for folder in (output, stored))
        assert np.allclose(one, other, atol=1e-3)


def test_choice_of_scenes_prefers_scored_ones_and_hangs_on_seed_and_id(root):
    index = pd.read_parquet(root / SCENES / "index.parquet")
    told = {("clip3", f"rir{number}"): (0.0, 0.0) for number in range(4)}
    first = listen.chosen(index, told, Settings(max_scenes=4))
    assert {row["source_id"] for row in first} == {"clip3"} and len({row["spatial_id"] for row in first}) == 4
    assert all(row["status"] == "accepted" for row in listen.chosen(index, {}, Settings(max_scenes=99)))
    orders = {tuple(row["scene_id"] for row in listen.chosen(index.sample(frac=1), {}, Settings(seed=seed))) for seed in (1, 1, 2)}
    assert len(orders) == 2


def test_radians_of_a_published_head_are_read_as_such(tmp_path):
    np.savez(tmp_path / "embeddings.npz", direction=np.array([[np.pi / 2, 0.1]]), source_id=np.array(["a"]), spatial_id=np.array(["b"]))
    assert listen.told_directions(tmp_path)["a", "b"] == pytest.approx((90.0, np.rad2deg(0.1)))
    assert listen.told_directions(tmp_path / "nowhere") == {}


def test_a_study_without_scenes_pictures_or_rooms_of_its_own(root):
    run = Run("cached", 1, evaluation(root, "cached1", bare=True), training(root, "cached1", None))
    output, result = reported(root, "cc", (run,), scenes="", pictures="")
    text = (output / "index.html").read_text()
    assert (
        "<audio" not in text and "Directions are" not in result.headline and result.direction_deg == {} and "Physical" not in result.table
    )


def test_runs_that_do_not_belong_together_are_refused(root, tmp_path):
    one = evaluation(tmp_path, "a1")
    other = evaluation(tmp_path, "b1")
    path = tmp_path / other / "scores.json"
    path.write_text(path.read_text().replace('"items": 16', '"items": 9', 1))
    trained = training(tmp_path, "a1")
    with pytest.raises(InvalidValueError, match="different grids"):
        scores.collect((Run("a", 1, one, trained), Run("b", 1, other, trained)), lambda name: tmp_path / name)
    with pytest.raises(InvalidValueError, match="named twice"):
        Request("t", (Run("a", 1, one, trained), Run("a", 1, other, trained)), ROOMS, "")
    with pytest.raises(InvalidValueError, match="nothing to report"):
        Request("t", (), ROOMS, "")
    assert len(open_catalogue(root / ROOMS)) == 4
