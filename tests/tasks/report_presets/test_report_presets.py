"""Evaluations as evaluate_preset_encoder writes them, made here, become tables and a page."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from core.errors import InvalidValueError
from tasks.report_presets import drawings
from tasks.report_presets.scores import collect, headline, main_table, recall_table
from tasks.report_presets.spec import Request, Run, SetFolder
from tests.tasks.report_presets.stand_ins import BY_HAND, HOSTILE, MRR, evaluated, probed, rendered, reported, study, trained


def collected(root, request):
    return collect(request.runs, lambda path: root / path)


def test_trainings_are_averaged_and_their_interval_is_students(tmp_path):
    tfm, mlp = collected(tmp_path, study(tmp_path))
    assert (tfm.name, mlp.name) == ("tfm", "mlp_oh") and tfm.mean("sampled", "mrr") == pytest.approx(np.mean(MRR["tfm"]))
    expected = stats.t.interval(0.95, 1, loc=np.mean(MRR["tfm"]), scale=stats.sem(MRR["tfm"]))
    assert tfm.interval("sampled") == pytest.approx(expected)
    means = np.mean(MRR["tfm"]), np.mean(BY_HAND["tfm"])
    assert tfm.difference("mrr") == pytest.approx(100 * (means[1] / means[0] - 1)) and tfm.difference("l1") == pytest.approx(50.0)


def test_one_training_has_the_interval_of_its_draws_and_one_draw_has_none(tmp_path):
    (tfm, _) = collected(tmp_path, study(tmp_path, seeds=(1,)))
    low, high = tfm.interval("sampled")
    assert (low, high) == pytest.approx((0.61 - 1.96 * 0.01, 0.61 + 1.96 * 0.01))
    tfm.told[0]["sampled"]["ranks"]["preset_query"]["mrr"]["sd"] = 0.0
    assert tfm.interval("sampled") is None and main_table([tfm])[2][0]["over_sampled"] == "–"


def test_tables_hold_both_sets_both_directions_and_chance(tmp_path):
    encoders = collected(tmp_path, study(tmp_path))
    _, titles, rows = main_table(encoders)
    assert list(titles.values()).count("Diff %") == 2 and [row["encoder"] for row in rows] == ["tfm", "mlp_oh", "chance"]
    assert rows[0]["mrr_sampled"] == "0.630" and rows[0]["mrr_hand_crafted"] == "0.310" and rows[0]["mrr_difference"] == "-50.8"
    assert rows[2]["mrr_sampled"] == "0.127" and rows[2]["l1_sampled"] == "–"
    _, titles, rows = recall_table(encoders)
    assert list(titles)[3:] == ["mrr", *(f"mrr@{k}" for k in range(1, 6)), "recall@1", "recall@5", "recall@10", "median_normalised_rank"]
    assert [(row["encoder"], row["set"]) for row in rows[:5]] == [("tfm", "drawn")] * 2 + [("mlp_oh", "drawn")] * 2 + [("chance", "drawn")]
    assert rows[1]["mrr"] == f"{0.9 * 0.63:.3f}" and len(rows) == 10
    alone = collected(tmp_path / "alone", study(tmp_path / "alone", by_hand=False))
    assert "Diff %" not in main_table(alone)[1].values() and "made by hand" not in headline(alone)


def test_the_headline_is_about_the_encoder_that_validates_best(tmp_path):
    runs = [Run("lucky", 1, evaluated(tmp_path, "lucky", 1, 0.9, None, val=0.5), trained(tmp_path, "lucky", 1)),
            Run("good", 1, evaluated(tmp_path, "good", 1, 0.8, None, val=0.7), trained(tmp_path, "good", 1))]  # fmt: skip
    text = headline(collect(runs, lambda path: tmp_path / path))
    assert text.startswith("good, chosen by its validation rankings (MRR 0.700 at 8 candidates): MRR 0.800") and "lucky 0.900" in text


def test_page_and_tables_hold_the_finding_and_escape_what_is_hostile(tmp_path):
    output, result = reported(tmp_path, study(tmp_path))
    page = (output / "index.html").read_text()
    assert HOSTILE not in page and "&lt;script&gt;" in page and "./run.sh synth_proxy" in page
    assert (
        result.headline.split(":")[0] in page
        and result.best == "tfm"
        and "On presets made by hand, one against 32: 0.310" in result.headline
    )
    assert result.scores == {"tfm, drawn": 0.63, "tfm, hand-crafted": 0.31, "mlp_oh, drawn": 0.42, "mlp_oh, hand-crafted": 0.24}
    assert page.count("<audio") == 2 * 3 + 2, "two sounds with two presets each that could be played, and one match"
    files = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert all((output / name).is_file() for name in files) and "own preset at rank 1" in page
    assert "deterministic" in page and "1 crash" in page and "copy: first" in page and "identity" in page
    rows = list(csv.DictReader((output / "scores.csv").open()))
    assert {row["table"] for row in rows} >= {
        "One against all",
        "What comes first",
        "Validation",
        "Modality gap",
        "Audio models",
        "Sound matching",
    }
    assert json.loads((output / "scores.json").read_text())[0]["mrr_sampled"] == "0.630"
    for name in ("scores.md", "scores.tex"):
        assert "tfm" in (output / name).read_text(), name
    assert "Sound matching" in result.table and "0.127" in result.table


def test_a_synthesiser_that_does_not_repeat_itself_is_pointed_out(tmp_path):
    request = study(tmp_path)
    (tmp_path / "stages/probe_synth/aa/synth.json").unlink()
    output, _ = reported(
        tmp_path, dataclasses.replace(request, probe=probed(tmp_path, "order_dependent"), played="", matches=(), ranking="")
    )
    page = (output / "index.html").read_text()
    assert 'class="warn"' in page and "only after the same presets" in page and "<audio" not in page


def test_one_map_for_all_encoders_only_where_it_is_the_same(tmp_path):
    request = study(tmp_path)
    output, _ = reported(tmp_path, request)
    assert (output / "projection.png").is_file() and not list(output.glob("projection_*"))
    evaluated(tmp_path, "mlp_oh", 1, 0.4, 0.25, moved=1.0)
    output, _ = reported(tmp_path, request, "bb")
    assert sorted(path.name for path in output.glob("projection*")) == ["projection_00.png", "projection_01.png"]
    tables = {name: drawings.pd.read_parquet(tmp_path / f"stages/evaluate_preset_encoder/{name}1/projection.parquet") for name in MRR}
    figure = drawings.panels(tables)
    assert len(figure.axes) == 2 * 3, "by set and by label; sounds and two encoders"


def test_evaluations_that_do_not_belong_together_are_refused(tmp_path):
    request = study(tmp_path)
    evaluated(tmp_path, "tfm", 2, 0.6, 0.3, audio_model="mn04")
    with pytest.raises(InvalidValueError, match="scored otherwise than the first"):
        collected(tmp_path, request)
    sets = (SetFolder("test", rendered(tmp_path, "other")),)
    with pytest.raises(InvalidValueError, match="one encoder twice"):
        Request("t", (request.runs[0], request.runs[0]), sets, "")
    with pytest.raises(InvalidValueError, match="nothing to report"):
        Request("t", (), sets, "")
