import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, frechet, keys, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.embedding import Embedder
from tasks.contrastive.embedder import Embedder as ContrastiveEmbedder
from tasks.contrastive.encoder import random_encoder, save
from tasks.measure_synthetic import features
from tasks.measure_synthetic.spec import Request, Settings
from tasks.measure_synthetic.stage import run

RATE = 16000
PREPARED, GOLD, MADE, CHECKPOINT = "stages/prepare/aa", "stages/caption/aa", "stages/clap_filter/aa", "stages/train_clap/aa"


def burst(seed):
    rng = np.random.default_rng(seed)
    sound = 0.003 * rng.standard_normal(2 * RATE)
    for _ in range(4):
        start, length = int(rng.integers(0, len(sound) - 4000)), int(rng.integers(1500, 4000))
        sound[start : start + length] += (
            0.05 * np.convolve(rng.standard_normal(length), rng.standard_normal(12), "same") * np.hanning(length)
        )
    return sound.astype(np.float32)


def clip(root, folder, name, sound, origin="gold", **values):
    path = f"{folder}/audio/{name}.wav"
    audio.write(root / path, sound, RATE)
    given = {"label": f"class_{len(name) % 2}", "split": "train", "caption": f"a caption of {name}", "duration_s": 2.0, **values}
    return manifest.row(name, path, origin, sha256=keys.file_digest(root / path), **given)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Twelve train clips of which six are gold, four validation and four test clips, and synthetic clips of which some are copies."""
    root = tmp_path_factory.mktemp("measures")
    rows = [clip(root, PREPARED, f"train{i:02d}" + "x" * (i % 2), burst(i)) for i in range(12)]
    rows += [
        clip(root, PREPARED, f"{split}{i}", burst(50 + 10 * (split == "val") + i), split=split)
        for split in ("val", "test")
        for i in range(4)
    ]
    manifest.write(root / PREPARED, manifest.frame(rows))
    gold = rows[:6]
    manifest.write(root / GOLD, manifest.frame(gold))
    copies = {"exact": burst(0), "gained": 0.3 * burst(1), "rolled": np.roll(burst(2), 7001)}
    made = [clip(root, MADE, name, sound, "generate", parents=[gold[i]["clip_id"]]) for i, (name, sound) in enumerate(copies.items())]
    made += [clip(root, MADE, f"new{i:02d}", burst(200 + i), "generate", parents=[gold[i % 6]["clip_id"]]) for i in range(17)]
    made.append(clip(root, MADE, "bad", burst(300), "generate", parents=[gold[0]["clip_id"]], status="rejected", reason="clap_rank"))
    manifest.write(root / MADE, manifest.frame(made))
    torch.manual_seed(0)
    (root / CHECKPOINT).mkdir(parents=True)
    loading.CompactClap(loading.CompactConfig()).save(root / CHECKPOINT, {})
    return root


def measured(root, name, clips=(MADE,), lineage=(), encoder="", **settings):
    output = root / "stages/measure_synthetic" / name
    output.mkdir(parents=True)
    seen = []
    context = Context(output, root, threads=1, emit=lambda kind, values: seen.append((kind, values)))
    result = run(Request(GOLD, PREPARED, clips, CHECKPOINT, lineage, Settings(**settings), encoder), context)
    return result, output, seen


@pytest.fixture(scope="module")
def first(data_root):
    return measured(data_root, "first")


def test_every_measure_is_there_and_copies_are_found(first):
    result, output, seen = first
    assert (result.clips, result.gold_clips, result.reference_clips) == (20, 6, 6)
    assert result.near_duplicates_of_gold == 3 and result.near_duplicates_among == 0
    nearest = pd.read_parquet(output / "nearest.parquet").set_index("clip_id")
    assert set(nearest.index[nearest["duplicate"]]) == {"exact", "gained", "rolled"}
    assert list(nearest.loc[["exact", "gained", "rolled"], "other_id"]) == ["train00", "train01x", "train02"]
    assert nearest.loc["exact", "correlation"] == pytest.approx(1, abs=1e-3) and nearest.loc["exact", "nearest_by_cosine"] == "train00"
    assert nearest.loc["rolled", "lag_s"] == pytest.approx(7001 / RATE, abs=0.02) or nearest.loc["rolled", "waveform"] > 0.95
    worst = json.loads((output / "offenders.json").read_text())
    assert {row["clip_id"] for row in worst[:3]} == {"exact", "gained", "rolled"} and worst[0]["kind"] == "synthetic and gold"
    found = json.loads((output / "measures.json").read_text())
    assert found["memorisation"]["above_every_real_one"] >= 3 and found["memorisation"]["reference"] == "undrawn train clips"
    assert found["frechet"]["clap_dimensions"] == 64 and found["fad_clap_val"] > 0 and result.fad_clap > 0 and result.fad_mel > 0
    assert 1 <= result.vendi_gold <= 6 and 1 <= result.vendi <= 20 and set(found["diversity_per_class"]) == {"class_0", "class_1"}
    assert -1 <= result.clap_score_label <= 1 and 0 < result.closer_than_real < 1
    progress = [values for kind, values in seen if kind == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 20 + 6 + 6 + 4, "test clips are embedded by nobody"


def test_scores_are_the_filters_cosines(data_root, first):
    model, _ = loading.load(data_root / CHECKPOINT, "", "", "cpu")
    rows = manifest.accepted(manifest.read(data_root / MADE)).sort_values("clip_id").to_dict("records")
    context = Context(data_root, data_root, emit=lambda kind, values: None)
    embedder = Embedder(model, "cpu")
    label, caption = features.clap_scores(features.load(rows, context, embedder), embedder)
    assert first[0].clap_score_label == pytest.approx(label.mean(), abs=1e-5)
    assert first[0].clap_score_caption == pytest.approx(caption.mean(), abs=1e-5)
    with torch.no_grad():
        texts = model.text_embedding([f"Sound of a {rows[0]['label'].replace('_', ' ')}", rows[0]["caption"]])
        sound = torch.from_numpy(audio.read(data_root / rows[0]["path"])[0])
        expected = (model.audio_embedding(sound[:, : 2 * RATE]) @ texts.T)[0].tolist()
    assert [label[0], caption[0]] == pytest.approx(expected, abs=2e-4)


def test_the_same_request_gives_the_same_bytes(data_root, first):
    _, again, _ = measured(data_root, "again")
    for name in ("measures.json", "offenders.json", "leaks.json", "nearest.parquet", "offenders.parquet"):
        assert (again / name).read_bytes() == (first[1] / name).read_bytes()


def test_clean_lineage_is_proven_and_counted(first):
    result, output, _ = first
    found = json.loads((output / "leaks.json").read_text())
    assert result.leaked == 0 and found["leaks"] == []
    # 6 gold + 21 synthetic clips (the rejected one too) from 6 roots, against 4 validation and 4 test clips.
    assert found["counts"] == {
        "clips": 27,
        "ancestors": 27,
        "roots": 6,
        "outside": 0,
        "kept_out": 8,
        "pairs_by_record": 27 * 8,
        "pairs_by_sound": 48,
    }
    assert result.pairs_compared == 27 * 8 + 48 and found["closest"]["correlation"] == result.closest_to_evaluation < 0.8


def leaky(root, name, *rows):
    manifest.write(root / "stages/generate" / name, manifest.frame(rows))
    return f"stages/generate/{name}"


def test_every_kind_of_leak_is_found_and_named(data_root):
    """A parent that is a test clip, at one remove; the same bytes under another name; altered copies, also of unknown origin; a split."""
    folder = "stages/generate/leaks"
    grandchild = [
        clip(data_root, folder, "child", burst(400), "generate", parents=["test1"]),
        clip(data_root, folder, "grandchild", burst(401), "generate", parents=["child"]),
    ]
    rows = {
        "clip_id": grandchild,
        "sha256": [clip(data_root, folder, "same_bytes", burst(50 + 2), "retrieve")],
        "near_duplicate": [
            clip(data_root, folder, "altered", 0.4 * np.roll(burst(60 + 3), 5001), "retrieve"),
            clip(data_root, folder, "retrieved", burst(50 + 0)[2000:], "retrieve", parents=["train00", "of an outside pool"]),
        ],
        "split": [clip(data_root, folder, "other", burst(403), "retrieve", split="val")],
    }
    expected = {
        "clip_id": {("child", "test1"), ("grandchild", "test1")}, "sha256": {("same_bytes", "test2")},
        "near_duplicate": {("altered", "val3"), ("retrieved", "test0")}, "split": {("other", "")},
    }  # fmt: skip
    for how, made in rows.items():
        named = leaky(data_root, f"leak_{how}", *made)
        result, output, _ = measured(data_root, f"report_{how}", lineage=(named,), on_leak="report")
        leaks = json.loads((output / "leaks.json").read_text())["leaks"]
        assert {(leak["clip_id"], leak["evaluation_clip"]) for leak in leaks} == expected[how] and {leak["how"] for leak in leaks} == {how}
        assert result.leaked == len(expected[how])
        with pytest.raises(InvalidValueError, match=made[-1]["clip_id"]):
            measured(data_root, f"fail_{how}", lineage=(named,))


def test_a_clip_of_an_outside_pool_is_counted_and_compared_by_its_own_sound(data_root):
    orphan = clip(data_root, "stages/generate/outside", "orphan", burst(402), "retrieve", parents=["train00", "of an outside pool"])
    result, output, _ = measured(data_root, "outside", lineage=(leaky(data_root, "outside", orphan),))
    counts = json.loads((output / "leaks.json").read_text())["counts"]
    assert result.leaked == 0 and result.outside == counts["outside"] == 1 and counts["roots"] == 7 and counts["pairs_by_sound"] == 56


def test_preference_pairs_are_followed_to_the_folders_their_sounds_lie_in(data_root):
    base = leaky(data_root, "base", clip(data_root, "stages/generate/base", "loser", burst(500), "generate", parents=["train00"]))
    rows = [{"preferred": f"{PREPARED}/audio/train00.wav", "not_preferred": f"{base}/audio/loser.wav", "captions": "x"}]
    folder = data_root / "stages/make_pairs/aa"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "pairs.parquet")
    result, output, _ = measured(data_root, "pairs", lineage=("stages/make_pairs/aa",))
    assert result.leaked == 0 and json.loads((output / "leaks.json").read_text())["counts"]["clips"] == 28
    rows.append({"preferred": f"{PREPARED}/audio/test0.wav", "not_preferred": f"{base}/audio/loser.wav", "captions": "x"})
    pd.DataFrame(rows).to_parquet(folder / "pairs.parquet")
    with pytest.raises(InvalidValueError, match="test0"):
        measured(data_root, "pairs_leak", lineage=("stages/make_pairs/aa",))


def test_nothing_accepted_is_a_valid_result(data_root):
    table = manifest.read(data_root / MADE)
    none = table[table["status"] == "rejected"]
    manifest.write(data_root / "stages/clap_filter/none", none)
    result, output, _ = measured(data_root, "none", clips=("stages/clap_filter/none",))
    assert result.clips == 0 and result.fad_clap is None and result.vendi is None and result.vendi_gold >= 1 and result.leaked == 0
    assert result.near_duplicates_of_gold == 0 and len(pd.read_parquet(output / "nearest.parquet")) == 0


def test_distances_may_be_taken_in_a_contrastive_encoder_as_well(data_root, first):
    encoder = random_encoder(5, {"width": 4, "dimensions": 6})
    save(data_root / "stages/train_contrastive/aa", encoder, {"seed": 5})
    result, output, _ = measured(data_root, "learned", encoder="stages/train_contrastive/aa")
    assert first[0].fad_encoder is None and first[0].fad_clap == result.fad_clap
    embedder, vectors = ContrastiveEmbedder(encoder), {}
    for folder in (GOLD, MADE):
        found = []
        for row in manifest.accepted(manifest.read(data_root / folder)).itertuples():
            vector = embedder.clip(audio.load_mono(data_root / row.path, 16000))[0].astype(float)
            found.append(vector / np.linalg.norm(vector))
        vectors[folder] = np.stack(found)
    assert result.fad_encoder == pytest.approx(frechet.distance(vectors[MADE], vectors[GOLD]), rel=0.05, abs=1e-4)
    assert result.fad_encoder_reference > 0 and json.loads((output / "measures.json").read_text())["frechet"]["encoder_dimensions"] == 6
