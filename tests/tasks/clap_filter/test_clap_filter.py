import json
import math

import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_filter.rules import rule, score_clip
from tasks.clap_filter.spec import Request, Settings
from tasks.clap_filter.stage import run, run_shards
from tasks.clap_model import loading
from tasks.clap_model.rules import verdict
from tasks.contrastive.embedder import Embedder
from tasks.contrastive.encoder import random_encoder, save
from tests.donors import finish, heir

RATE = 16000


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Nine generated clips, one of them unreadable, one rejected before; an unfitted compact checkpoint."""
    root = tmp_path_factory.mktemp("filter")
    rows = []
    for number in range(9):
        path = f"stages/generate/aa/audio/{number}.wav"
        noise = np.random.default_rng(number).standard_normal(RATE) * 0.1
        audio.write(root / path, noise.astype(np.float32), RATE)
        rows.append(
            manifest.row(
                f"{number:016x}", path, "generate", label="abc"[number % 3], split="train", caption=f"noise {number}", parents=["p"]
            )
        )
    (root / rows[4]["path"]).write_text("no sound")
    rows[7] |= {"status": "rejected", "reason": "silent"}
    manifest.write(root / "stages/generate/aa", manifest.frame(rows))
    torch.manual_seed(0)
    folder = root / "stages/train_clap/aa"
    folder.mkdir(parents=True)
    loading.CompactClap(loading.CompactConfig()).save(folder, {"labels": ["a", "b", "c"]})
    return root


def filtered(root, name, shards, encoder="", gold="", **settings):
    output = root / "stages/clap_filter" / name
    output.mkdir(parents=True)
    context = Context(output, root, threads=1, emit=lambda kind, values: None)
    request = Request("stages/generate/aa", "stages/train_clap/aa", shards, Settings(**settings), encoder, gold)
    run_shards(request, context, list(range(shards)))
    return run(request, context), manifest.read(output)


def test_every_clip_is_scored_kept_or_rejected_with_a_reason(data_root):
    result, table = filtered(data_root, "a", 2, score="rank", threshold=1.0)
    assert len(table) == 9 and result.accepted + result.rejected == 9
    source = manifest.read(data_root / "stages/generate/aa")
    assert list(table["path"]) == list(source["path"]), "audio stays where it is"
    for row in table.itertuples():
        scores = json.loads(row.scores)
        if row.clip_id.endswith("4"):
            assert row.status == "rejected" and row.reason.startswith("unreadable")
        elif row.clip_id.endswith("7"):
            assert row.reason == "silent" and not scores
        else:
            assert -1 <= scores["clap_cosine"] <= 1 and (row.status == "accepted") == (scores["clap_rank"] == 1)
            assert row.status == "accepted" or "clap_rank" in row.reason


def test_scores_do_not_depend_on_shards(data_root):
    _, one = filtered(data_root, "one", 1)
    _, many = filtered(data_root, "many", 5)
    assert manifest.digest(one) == manifest.digest(many)


def test_scores_do_not_depend_on_the_batch(data_root):
    _, one = filtered(data_root, "batch1", 2, batch_size=1)
    _, many = filtered(data_root, "batch32", 2, batch_size=32)
    assert list(one["scores"]) == list(many["scores"]) and list(one["status"]) == list(many["status"])


@pytest.mark.parametrize("shards", [1, 4])
def test_top_k_is_decided_over_all_shards(data_root, shards):
    result, table = filtered(data_root, f"top{shards}", shards, score="top_k", threshold=1)
    judged = table[table["scores"] != "{}"]
    cosines = judged["scores"].map(lambda text: json.loads(text)["clap_cosine"])
    best = {judged.loc[cosines[judged["label"] == label].idxmax(), "clip_id"] for label in "abc"}
    assert result.accepted == 3 and set(table[table["status"] == "accepted"]["clip_id"]) == best
    assert set(table[(table["status"] == "rejected") & (table["scores"] != "{}")]["reason"].str[:21]) == {"clap_cosine is number "[:21]}


def test_a_clip_is_also_scored_against_its_own_caption(data_root):
    result, table = filtered(data_root, "captions", 2)
    model, _ = loading.load(data_root / "stages/train_clap/aa", "", "", "cpu")
    row = table.iloc[0]
    from tasks.clap_model.windows import windows

    sound = audio.load_mono(data_root / row["path"], model.sample_rate_hz)
    with torch.no_grad():
        heard = model.audio_embedding(windows(sound, round(model.window_s * model.sample_rate_hz)))
        text = model.text_embedding([row["caption"], "another"])[0]
    assert json.loads(row["scores"])["clap_text_caption"] == pytest.approx(float((heard @ text).mean()), abs=1e-4)
    values = [json.loads(text)["clap_text_caption"] for text in table["scores"] if text != "{}"]
    assert result.mean_caption_cosine == pytest.approx(np.mean(values), abs=1e-4)


def test_a_contrastive_encoder_may_decide_by_the_gold_clips_of_the_labels(data_root):
    """Gold clips are copies of generated ones under another label each, so that the nearest label is known."""
    encoder = random_encoder(5, {"width": 4, "dimensions": 12})
    save(data_root / "stages/train_contrastive/aa", encoder, {"seed": 5})
    made = manifest.read(data_root / "stages/generate/aa")
    gold = [manifest.row(f"g{number}", made["path"][number], "gold", label="abc"[number % 3], split="train") for number in (0, 1, 5)]
    gold[1] |= {"label": "c"}
    gold[2] |= {"label": "a"}
    manifest.write(data_root / "stages/stratify/aa", manifest.frame(gold))
    folders = {"encoder": "stages/train_contrastive/aa", "gold": "stages/stratify/aa"}
    _, table = filtered(data_root, "learned", 2, **folders, score="encoder_rank", threshold=1.0)
    _, whole = filtered(data_root, "learned whole", 1, **folders, score="encoder_rank", threshold=1.0)
    assert list(table["scores"]) == list(whole["scores"]) and list(table["status"]) == list(whole["status"])
    embedder = Embedder(encoder)

    def unit(number):
        vector = embedder.clip(audio.load_mono(data_root / made["path"][number], 16000))[0].astype(float)
        return vector / np.linalg.norm(vector)

    means = {"a": unit(0) + unit(5), "c": unit(1)}
    for number, row in enumerate(table.itertuples()):
        if number in (4, 7):
            continue
        scores = json.loads(row.scores)
        cosines = {label: float(unit(number) @ mean / np.linalg.norm(mean)) for label, mean in means.items()}
        if row.label == "b":
            assert scores["encoder_rank"] == 3 and scores["encoder_cosine"] == -1, "a label without gold clips comes last"
        else:
            assert scores["encoder_cosine"] == pytest.approx(cosines[row.label], abs=1e-4)
            assert scores["encoder_rank"] == 1 + sum(value > cosines[row.label] for value in cosines.values())
        assert (row.status == "accepted") == (scores["encoder_rank"] == 1) and -1 <= scores["clap_cosine"] <= 1
    gold[0] |= {"split": "test"}
    manifest.write(data_root / "stages/stratify/bb", manifest.frame(gold))
    with pytest.raises(InvalidValueError, match="train clips"):
        filtered(data_root, "held", 1, encoder=folders["encoder"], gold="stages/stratify/bb")
    with pytest.raises(InvalidValueError, match="belong together"):
        Request("a", "b", 1, Settings(score="encoder_rank"))


def test_validation_clips_are_refused(data_root):
    table = manifest.read(data_root / "stages/generate/aa")
    table.loc[0, "split"] = "test"
    manifest.write(data_root / "stages/generate/bb", table)
    context = Context(data_root / "stages/clap_filter/leaky", data_root, threads=1, emit=lambda kind, values: None)
    with pytest.raises(InvalidValueError, match="not train clips"):
        run_shards(Request("stages/generate/bb", "stages/train_clap/aa", 1), context, [0])


def test_scores_are_the_published_formula():
    cosines = torch.tensor([0.1, 0.3, -0.2])
    scores = score_clip(cosines, 0, 14.3)
    assert scores["clap_sigmoid"] == pytest.approx(1 / (1 + math.exp(-14.3 * 0.1)), abs=1e-5)
    assert scores["clap_rank"] == 2 and scores["clap_margin"] == pytest.approx(-0.2)
    # Section 1.6 of the specification: a bound of 0.85 is a cosine of 1.735 / exp(logit_scale).
    assert score_clip(torch.tensor([1.735 / 14.3, 0.0]), 0, 14.3)["clap_sigmoid"] == pytest.approx(0.85, abs=1e-3)


def test_rules_and_their_defaults():
    assert rule(Settings(), compact=True) == ("rank", 3.0) and rule(Settings(), compact=False) == ("sigmoid", 0.85)
    assert rule(Settings(score="cosine", threshold=0.4), True) == ("cosine", 0.4)
    scores = {"clap_sigmoid": 0.8, "clap_cosine": 0.5, "clap_rank": 2.0}
    assert verdict(scores, "sigmoid", 0.85) == "clap_sigmoid 0.800 is below 0.85"
    assert verdict(scores, "cosine", 0.4) == "" and verdict(scores, "rank", 2.0) == "" and "worse than 1" in verdict(scores, "rank", 1.0)


def test_published_checkpoint_needs_a_filled_hub_cache_and_says_so(data_root, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    torch.save({"state_dict": {}}, tmp_path / "630k.pt")
    with pytest.raises(InvalidValueError, match=r"hub cache|empty tokenizer"):
        loading.load(tmp_path / "630k.pt", "HTSAT-tiny", "roberta", "cpu")


def test_scores_of_unchanged_clips_are_taken_over_also_under_another_bound(data_root):
    table = manifest.read(data_root / "stages/generate/aa")
    table["sha256"] = [f"sound {number}" for number in range(9)]
    outputs = {}
    for name, bound, donors in (("old", 1.0, []), ("new", 2.0, ["old"]), ("fresh", 2.0, [])):
        if name == "new":
            table.loc[2, "caption"] = "another noise"
            table.loc[3, "sha256"] = "another sound"
        clips = f"stages/generate/over-{name}"
        manifest.write(data_root / clips, table)
        request = Request(clips, "stages/train_clap/aa", 2, Settings(score="rank", threshold=bound))
        context, counts = heir(data_root, "clap_filter", f"over-{name}", [outputs[donor][1] for donor in donors])
        run_shards(request, context, [1, 0])
        run(request, context)
        outputs[name] = (manifest.read(context.output), finish(context.output, request), counts)
    # Eight clips came accepted; the unreadable one is listened to again.
    assert outputs["new"][2] == {"clips_made": 3, "clips_reused": 5}
    assert manifest.digest(outputs["new"][0]) == manifest.digest(outputs["fresh"][0])
    manifest.write(data_root / "stages/generate/over-label", table.assign(label=["z", *table["label"][1:]]))
    request = Request("stages/generate/over-label", "stages/train_clap/aa", 1, Settings(score="rank"))
    context, counts = heir(data_root, "clap_filter", "over-label", [outputs["fresh"][1]])
    run_shards(request, context, [0])
    assert counts == {"clips_made": 8, "clips_reused": 0}, "another label changes every rank"
