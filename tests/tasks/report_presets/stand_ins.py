"""A study in the formats of the stages that report_presets reads, for tests of the page."""

import matplotlib as mpl
import numpy as np
import pandas as pd

from core import atomic, audio
from core.context import Context
from tasks.presets.parameters import Parameter, SynthSpec
from tasks.report_presets.spec import Match, Request, Run, SetFolder, Settings
from tasks.report_presets.stage import run

HOSTILE = '<script>alert("x")</script> & "quotes"'
SPEC = SynthSpec("small", (Parameter(0, "level", "num"), Parameter(1, "wave", "cat", cardinality=3), Parameter(2, "on", "bin")))
MRR = {"tfm": (0.61, 0.65), "mlp_oh": (0.40, 0.44)}
"""Drawn presets, by encoder and seed."""
BY_HAND = {"tfm": (0.30, 0.32), "mlp_oh": (0.25, 0.23)}
ROWS = 40


def scores_of(mrr, sd=0.01):
    names = ["mrr", *(f"mrr@{k}" for k in range(1, 6)), *(f"recall@{k}" for k in (1, 5, 10)), "median_normalised_rank"]
    return {name: {"mean": mrr * (0.5 + 0.1 * place), "sd": sd} for place, name in enumerate(names)} | {"mrr": {"mean": mrr, "sd": sd}}


def pool(mrr, l1, size=32, sd=0.01):
    ranks = {"preset_query": scores_of(mrr, sd), "audio_query": scores_of(0.9 * mrr, sd)}
    chance = dict.fromkeys(ranks["preset_query"], 0.05) | {"mrr": 0.127}
    sizes = {str(n): {"preset_query": scores_of(mrr + 1 / n), "chance_mrr": 1 / n} for n in (8, 32)}
    return {
        "pool": ROWS, "subset": size, "runs": 3 if sd else 1, "l1": l1, "l1_runs": {"mean": l1, "sd": 0.0}, "ranks": ranks,
        "ranks_cosine": ranks, "chance": chance, "modality_gap": {"centroid_distance": 0.5, "telling_accuracy": 0.75}, "pool_sizes": sizes,
    }  # fmt: skip


def evaluated(root, name, seed, mrr, by_hand, val=None, moved=0.0, **changed):
    folder = root / f"stages/evaluate_preset_encoder/{name}{seed}"
    validation = {"mrr": val or mrr + 0.1, "l1": 0.2, "rankings": 16, "candidates": 8, "pool": 40, "each_preset_once": False,
                  "chance_mrr": 0.34}  # fmt: skip
    told = {
        "model": name, "parameters": 1234, "synth": "small", "distance": "l1", "audio_model": "mel", "validation": validation,
        "sampled": pool(mrr, 0.2), "projection": "pca", **({"hand_crafted": pool(by_hand, 0.3)} if by_hand else {}), **changed,
    }  # fmt: skip
    atomic.write_json(folder / "scores.json", told)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"set": ["sampled"] * 20 + ["hand_crafted"] * 20, "row": range(40), "group": ["[]"] * 20 + ["bass", "bell"] * 10})
    for column in ("reference_x", "reference_y"):
        table[column] = rng.normal(size=40) + moved
    for column in ("encoder_x", "encoder_y"):
        table[column] = rng.normal(size=40)
    table.to_parquet(folder / "projection.parquet", index=False)
    mpl.image.imsave(folder / "projection.png", rng.random((20, 40)))
    return f"stages/evaluate_preset_encoder/{name}{seed}"


def trained(root, name, seed):
    folder = root / f"stages/train_preset_encoder/{name}{seed}"
    plan = {"epochs": 2, "learning_rate": 1e-3, "schedule": "cosine"}
    atomic.write_json(folder / "training.json", {"best_step": 20, "steps": 40, "train_presets": 4000, "plan": plan, "settings": {}})
    looks = {name: [[10, 0.1], [40, 0.4]] for name in ("val_mrr", "val_l1")}
    atomic.write_json(folder / "curves.json", {"loss": [[0, 1.0], [39, 0.5]], **looks})
    return f"stages/train_preset_encoder/{name}{seed}"


def rendered(root, name, origin="sampled"):
    folder = root / f"stages/render_presets/{name}"
    folder.mkdir(parents=True)
    np.save(folder / "parameters.npy", SPEC.sample(0, 0, ROWS))
    np.save(folder / "embeddings.npy", np.zeros((ROWS, 4), np.float32))
    plugin = {"name": HOSTILE, "version": "1.2", "render": {"fresh": True}}
    meta = {
        "spec": SPEC.to_json(), "spec_digest": SPEC.digest, "backend": "pedalboard", "plugin": plugin, "sample_rate_hz": 16000,
        "midi": {"notes": [60], "velocities": [100], "hold_s": 2.0}, "duration_s": 0.1, "fade_s": 0.01, "audio_model": "mel",
        "dimensions": 4, "rows": ROWS, "seed": 500, "origin": origin, "names": None,
    }  # fmt: skip
    atomic.write_json(folder / "presets.json", meta)
    pd.DataFrame({"row": range(ROWS), "index": range(ROWS), "tries": [1, 3] * 20, "rms": 0.1, "note": 60, "velocity": 100,
                  "split": "test", "name": [HOSTILE] * ROWS, "labels": "[]"}).to_parquet(folder / "table.parquet")  # fmt: skip
    lost = [(7, "crash: SIGSEGV", 1, None, '{"level": 0.5}'), (9, "too soft", 100, 0.001, "{}")]
    pd.DataFrame(lost, columns=["index", "reason", "tries", "rms", "parameters"]).to_parquet(folder / "rejected.parquet")
    if origin == "hand_crafted":
        removed = [{"name": "twin", "reason": "copy", "of": "first"}, {"name": "silent", "reason": "crash: SIGSEGV", "rms": None},
                   {"name": "still", "reason": "too soft", "rms": 0.001}]  # fmt: skip
        atomic.write_json(folder / "removed.json", removed)
    return f"stages/render_presets/{name}"


def tone(path, seed):
    audio.write(path, 0.2 * np.sin(np.arange(1600) * (0.1 + 0.01 * seed)).astype(np.float32), 16000)


def played(root):
    folder = root / "stages/play_presets/aa"
    for number in range(5):
        tone(folder / f"sounds/{number}.flac", number)
    nearest = [{"set": "sampled", "row": row, "name": f"preset {row}", "distance": 0.5 + row, "sound": f"sounds/{row}.flac"}
               for row in (1, 2)]  # fmt: skip
    gone = {"set": "sampled", "row": 9, "name": "gone", "distance": 9.0, "sound": ""}
    lookups = [
        {"set": "sampled", "row": 1, "name": "preset 1", "rank_of_own_preset": 1.0, "nearest": [*nearest, gone], "sound": "sounds/1.flac"},
        {"set": "", "row": -1, "name": HOSTILE, "rank_of_own_preset": None, "nearest": nearest, "sound": "sounds/4.flac"},
        {"set": "sampled", "row": 9, "name": "silent", "rank_of_own_preset": 2.0, "nearest": nearest, "sound": ""},
    ]  # fmt: skip
    atomic.write_json(folder / "sounds.json", {"lookups": lookups, "failed": {}})
    return "stages/play_presets/aa"


def probed(root, kind="deterministic"):
    folder = root / "stages/probe_synth/aa"
    verdict = {"kind": kind, "presets": 20, "equal_again": 1.0, "equal_reordered": 1.0 if kind == "deterministic" else 0.4}
    atomic.write_json(folder / "synth.json", {"identity": {}, "repeatability": verdict, "parameters": []})
    return "stages/probe_synth/aa"


def matched(root):
    folder = root / "stages/match_sound/aa"
    told = {"sounds": 20, "a_mean": 0.5, "mae": 0.1, "baseline": {"a_mean": 1.5}}
    atomic.write_json(folder / "scores.json", {"in_domain": told, "out_of_domain": None})
    for name in ("a_target", "a_match", "b_target", "b_match"):
        tone(folder / f"listen/{name}.flac", len(name))
    pairs = [
        {"name": name, "source": "in_domain", "a_mean": 0.4, **{part: f"listen/{name}_{part}.flac" for part in ("target", "match")}}
        for name in ("a", "b")
    ]
    atomic.write_json(folder / "listen.json", pairs)
    return (Match("mix", "stages/match_sound/aa", "stages/train_sound_matcher/aa"),)


def ranked(root):
    folder = root / "stages/rank_audio_models/aa"
    row = {"model": "mel", "distance": "l1", "correlation": 0.8, "sd": 0.1, "dimensions": 256}
    atomic.write_json(folder / "ranking.json", {"rows": [row, {**row, "distance": "cosine", "correlation": 0.7}]})
    return "stages/rank_audio_models/aa"


def study(root, seeds=(1, 2), by_hand=True):
    """Write all of it; return the request."""
    runs = []
    for name, values in MRR.items():
        for place, seed in enumerate(seeds):
            scores = evaluated(root, name, seed, values[place], BY_HAND[name][place] if by_hand else None)
            runs.append(Run(name, seed, scores, trained(root, name, seed)))
    sets = [SetFolder(name, rendered(root, name)) for name in ("train", "test")]
    sets += [SetFolder("hand-crafted", rendered(root, "hands", "hand_crafted"))] if by_hand else []
    return Request(
        f"study {HOSTILE}", tuple(runs), tuple(sets), "x: 1\n", probe=probed(root), played=played(root), ranking=ranked(root),
        matches=matched(root), command="./run.sh synth_proxy", settings=Settings(max_matches=1),
    )  # fmt: skip


def reported(root, request, name="aa"):
    """Run the stage; return its output and result."""
    output = root / f"stages/report_presets/{name}"
    output.mkdir(parents=True)
    return output, run(request, Context(output, root, emit=lambda *_: None))
