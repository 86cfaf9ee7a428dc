import hashlib
import json

import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.windows import windows
from tasks.contrastive.embedder import Embedder
from tasks.contrastive.encoder import random_encoder, save
from tasks.retrieve.nearest import choose, cosines
from tasks.retrieve.spec import Request, Settings
from tasks.retrieve.stage import run, run_shards

RATE = 16000
GOLD, POOL, PREPARED = "stages/caption/aa", "stages/prepare/pool", "stages/prepare/aa"


def noise(seed, seconds=1.0, rate=RATE):
    """Band-limited noise, so that clips differ in more than their samples."""
    rng = np.random.default_rng(seed)
    sound = rng.standard_normal(int(seconds * rate))
    width = 1 + seed % 7 * 6
    return (0.2 * np.convolve(sound, np.ones(width) / width, "same")).astype(np.float32)


def clip(root, folder, clip_id, sound, rate=RATE, **values):
    path = f"{folder}/audio/{clip_id}.wav"
    audio.write(root / path, sound, rate)
    digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
    written = {"sha256": digest, "duration_s": len(sound) / rate, "sample_rate_hz": rate, "channels": 1}
    return manifest.row(clip_id, path, "gold", **{"label": "x", "split": "train", **written, **values})


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Three gold clips of different lengths; a pool with twelve usable clips and one of every kind that must be left out."""
    root = tmp_path_factory.mktemp("retrieve")
    gold = [clip(root, GOLD, f"g{n}", noise(n, 0.5 + 0.3 * n), label=label) for n, label in enumerate(["dog", "dog", "wind"])]
    manifest.write(root / GOLD, manifest.frame(gold))
    held = [clip(root, PREPARED, f"h{n}", noise(50 + n), split=split) for n, split in enumerate(["val", "test"])]
    manifest.write(root / PREPARED, manifest.frame([*gold, *held]))
    pool = [clip(root, POOL, f"p{n:02d}", noise(100 + n, 0.3 + 0.15 * n), label=f"of pool {n}", caption=f"clip {n}") for n in range(12)]
    pool[3] = clip(root, POOL, "p03", noise(103, 1.0, 8000), 8000)
    manifest.write(root / "stages/prepare/clean", manifest.frame(pool))
    pool += [
        clip(root, POOL, "q0", noise(200), split="val"), clip(root, POOL, "q1", noise(201), split="test"),
        gold[0], clip(root, POOL, "q2", noise(1, 0.8)), clip(root, POOL, "q3", noise(51)),
        clip(root, POOL, "q4", noise(203), parents=["h1"]), clip(root, POOL, "q5", noise(204)) | {"status": "rejected", "reason": "silent"},
        clip(root, POOL, "q6", noise(100, 0.3)), clip(root, POOL, "q7", noise(205)), clip(root, POOL, "q8", np.zeros(RATE, np.float32)),
        clip(root, POOL, "q9", noise(206), parameters={"source_sha256": held[0]["sha256"]}),
    ]  # fmt: skip
    (root / POOL / "audio/q7.wav").write_text("no sound")
    manifest.write(root / POOL, manifest.frame(pool))
    torch.manual_seed(0)
    folder = root / "stages/train_clap/aa"
    folder.mkdir(parents=True)
    loading.CompactClap(loading.CompactConfig()).save(folder, {"labels": ["dog", "wind"]})
    return root


def retrieved(root, shards=2, pool=POOL, clips=GOLD, evaluation=PREPARED, order=None, encoder="", **settings):
    output = root / "stages/retrieve" / f"{len(list((root / 'stages').glob('retrieve/*')))}"
    output.mkdir(parents=True)
    final = str(output.relative_to(root))
    context = Context(output, root, threads=1, final=final, emit=lambda kind, values: None)
    checkpoint = "" if encoder or settings.get("by") == "words" else "stages/train_clap/aa"
    request = Request(clips, pool, checkpoint, shards, Settings(**settings), evaluation, encoder)
    for shard in order or range(shards):
        run_shards(request, context, [shard])
    return run(request, context), manifest.read(output)


@pytest.fixture(scope="module")
def default(data_root):
    return retrieved(data_root)


@pytest.fixture(scope="module")
def vectors(data_root):
    """Embeddings made one clip at a time, without the stage."""
    model, _ = loading.load(data_root / "stages/train_clap/aa", "", "", "cpu")
    found = {}
    for row in [*manifest.read(data_root / GOLD).itertuples(), *manifest.read(data_root / "stages/prepare/clean").itertuples()]:
        with torch.inference_mode():
            parts = model.audio_embedding(windows(audio.load_mono(data_root / row.path, RATE), round(model.window_s * RATE)))
        mean = parts.mean(0).double().numpy()
        found[row.clip_id] = mean / np.linalg.norm(mean)
    with torch.inference_mode():
        texts = model.text_embedding(["Sound of a dog", "Sound of a wind"]).double().numpy()
    return found | {"dog": texts[0], "wind": texts[1]}


def pairs(table):
    return {(row.parents[0], row.parents[1]) for row in table.itertuples()}


def test_the_nearest_clips_come_with_the_gold_clips_label_length_and_rate(data_root, default, vectors):
    result, table = default
    gold = manifest.read(data_root / GOLD).set_index("clip_id")
    assert result.clips == len(table) == 6 and set(table["status"]) == {"accepted"} and set(table["split"]) == {"train"}
    for row in table.itertuples():
        own, other = row.parents
        samples, rate = audio.read(data_root / row.path)
        assert row.label == gold.loc[own, "label"] and rate == row.sample_rate_hz == gold.loc[own, "sample_rate_hz"]
        assert samples.shape == (1, round(gold.loc[own, "duration_s"] * rate)) and row.origin == "retrieve"
        assert json.loads(row.scores)["cosine"] == pytest.approx(float(vectors[own] @ vectors[other]), abs=2e-5)
    assert result.mean_cosine == pytest.approx(np.mean([json.loads(text)["cosine"] for text in table["scores"]]), abs=2e-5)
    assert result.seconds == pytest.approx(2 * (0.5 + 0.8 + 1.1), abs=1e-3)


def test_without_unique_every_gold_clip_gets_its_own_nearest(data_root, vectors):
    _, table = retrieved(data_root, unique=False, per_clip=3)
    names = [f"p{n:02d}" for n in range(12)]
    expected = {(own, name) for own in ("g0", "g1", "g2")
                for name in sorted(names, key=lambda name: (-round(float(vectors[own] @ vectors[name]), 5), name))[:3]}  # fmt: skip
    assert pairs(table) == expected
    ranks = {(row.parents[0], json.loads(row.parameters)["rank"]): json.loads(row.scores)["cosine"] for row in table.itertuples()}
    assert all(ranks[own, 1] >= ranks[own, 2] >= ranks[own, 3] for own in ("g0", "g1", "g2"))


def test_by_label_text_the_words_decide(data_root, vectors):
    result, table = retrieved(data_root, unique=False, by="label_text", per_clip=2)
    names = [f"p{n:02d}" for n in range(12)]
    for own, label in (("g0", "dog"), ("g1", "dog"), ("g2", "wind")):
        best = sorted(names, key=lambda name: (-round(float(vectors[label] @ vectors[name]), 5), name))[:2]
        assert {other for first, other in pairs(table) if first == own} == set(best)
    assert result.distinct <= 4, "two clips of one label get the same clips"


def test_what_must_not_be_retrieved_is_left_out_and_counted(data_root, default):
    result, table = default
    assert {other for _, other in pairs(table)} <= {f"p{n:02d}" for n in range(12)}
    assert result.left_out == {
        "not_train": 2, "gold": 1, "same_bytes_as_gold": 1, "same_bytes_as_evaluation": 2, "evaluation": 1, "rejected": 1, "duplicate": 1,
        "unreadable": 1, "silent": 1,
    }  # fmt: skip
    assert (result.pool, result.eligible) == (23, 12) and result.distinct == 6
    everything, _ = retrieved(data_root, per_clip=12, unique=False)
    assert everything.clips == 36 and everything.distinct == 12
    unaware, _ = retrieved(data_root, evaluation="")
    assert unaware.eligible == 15, "without the prepared dataset its clips in the pool cannot be known"


def test_shards_and_batches_decide_nothing(data_root, default):
    _, other = retrieved(data_root, shards=5, order=[4, 2, 0, 1, 3], batch_size=3)
    columns = ["clip_id", "sha256", "label", "scores", "parameters"]
    assert other[columns].equals(default[1][columns]) and pairs(other) == pairs(default[1])


def test_short_clips_are_repeated_and_long_ones_cut(data_root):
    _, table = retrieved(data_root, per_clip=12, unique=False)
    of_pool = manifest.read(data_root / POOL).set_index("clip_id")
    for row in table.itertuples():
        if row.parents[1] == "p03":
            continue  # resampled
        source, made = audio.read(data_root / of_pool.loc[row.parents[1], "path"])[0][0], audio.read(data_root / row.path)[0][0]
        expected = np.resize(source, len(made))  # numpy's own repetition
        assert np.abs(made - expected).max() < 1e-4


def test_gold_clips_of_other_splits_and_pools_that_are_too_small_are_refused(data_root):
    with pytest.raises(InvalidValueError, match="not train clips"):
        retrieved(data_root, clips=PREPARED)
    with pytest.raises(InvalidValueError, match=r"too few clips.*allowed: ≥ 15; received: 12"):
        retrieved(data_root, per_clip=5)
    with pytest.raises(InvalidValueError, match=r"retrieve.pool: no clips to go by.*'gold': 3"):
        retrieved(data_root, pool=GOLD)


@pytest.mark.parametrize("seed", range(20))
def test_unique_choice_is_the_greedy_one_over_all_pairs(seed):
    rng = np.random.default_rng(seed)
    rows, columns, wanted = int(rng.integers(1, 6)), int(rng.integers(20, 30)), int(rng.integers(1, 5))
    matrix = np.round(rng.standard_normal((rows, columns)), 1)  # many ties
    found: list[list[int]] = [[] for _ in range(rows)]
    taken = set()
    for _, row, column in sorted((-matrix[row, column], row, column) for row in range(rows) for column in range(columns)):
        if len(found[row]) < wanted and column not in taken:
            found[row].append(column)
            taken.add(column)
    assert choose(matrix, wanted, unique=True) == found
    assert choose(matrix, wanted, unique=False) == [
        sorted(range(columns), key=lambda column: (-line[column], column))[:wanted] for line in matrix
    ]


def test_exact_fit_of_a_unique_pool_uses_every_clip():
    matrix = np.array([[0.9, 0.8, 0.1, 0.0], [0.9, 0.8, 0.7, 0.6]])
    assert choose(matrix, 2, unique=True) == [[0, 1], [2, 3]]


def test_cosines_are_those_of_the_vectors():
    first, second = np.array([[1.0, 0.0]], np.float32), np.array([[0.6, 0.8], [0.0, -1.0]], np.float32)
    assert cosines(first, second).tolist() == [[0.6, 0.0]]


def test_a_contrastive_encoder_may_find_the_nearest(data_root):
    encoder = random_encoder(5, {"width": 4, "dimensions": 12})
    save(data_root / "stages/train_contrastive/aa", encoder, {"seed": 5})
    options = {"pool": "stages/prepare/clean", "encoder": "stages/train_contrastive/aa", "by": "encoder", "per_clip": 1, "unique": False}
    result, table = retrieved(data_root, **options)
    _, again = retrieved(data_root, **options, shards=5)
    assert list(table["parents"]) == list(again["parents"]) and result.clips == 3
    embedder = Embedder(encoder)

    def unit(path):
        vector = embedder.clip(audio.load_mono(data_root / path, 16000))[0]
        return vector / np.linalg.norm(vector)

    pool = manifest.read(data_root / "stages/prepare/clean")
    vectors = np.stack([unit(path) for path in pool["path"]])
    for gold in manifest.read(data_root / GOLD).itertuples():
        found = table[[gold.clip_id in parents for parents in table["parents"]]].iloc[0]
        assert pool["clip_id"][int((vectors @ unit(gold.path)).argmax())] in found["parents"]
    with pytest.raises(InvalidValueError, match="one embedding"):
        Request(GOLD, POOL, "stages/train_clap/aa", settings=Settings(by="encoder"))
