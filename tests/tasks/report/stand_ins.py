"""A study with as many clips as asked for, made up around a few sounds; for tests and benchmarks of its page."""

import csv
import json

import numpy as np
import pandas as pd

from core import audio, manifest
from core.context import Context
from tasks.report.spec import ArmRun, GoldRun, Request, Settings, SourceRun
from tasks.report.stage import run

LABELS = tuple(f"class_{number:02d}" for number in range(10))
WORDS = ("a dog", "rain on a roof", "far away", "in a hall", "with an echo", "twice", "slowly", "close by")
KEPT_RANK = 3
SOUNDS = 4


def sounds(root):
    """A few tones as FLAC files, which all clips share: only their rows are many."""
    made = []
    for number in range(SOUNDS):
        path = f"stages/generate/aa/audio/{number}.flac"
        tone = 0.2 * np.sin(2 * np.pi * (200 + 150 * number) * np.arange(8000) / 8000)
        audio.write(root / path, tone.astype(np.float32), 8000)
        made.append(path)
    return made


def clip(number, path, gold):
    """One generated clip's row; its rank decides whether it was kept, and every fifth one is of the second round."""
    rng = np.random.default_rng(number)
    rank, second = int(rng.integers(1, 8)), number % 5 == 4
    parent = number // 5 % len(gold)  # five clips of each gold clip, in all sources
    caption = " ".join(rng.choice(WORDS, 3, replace=False))
    parameters = {"seed": number, "sampler": "v-ddim", "steps": 30, "model": "stages/align_text_to_audio/aa", "iteration": number % 4,
                  "round": int(second)}  # fmt: skip
    if second:
        parameters["revised_from"] = manifest.clip_id("made up", number - 1)
    kept = {} if rank <= KEPT_RANK else {"status": "rejected", "reason": f"clap_rank {rank} is worse than {KEPT_RANK}"}
    return manifest.row(
        manifest.clip_id("made up", number), path, "generate", label=LABELS[parent % len(LABELS)], caption=caption, split="train",
        duration_s=1.0 + number % 7, sample_rate_hz=8000, channels=1, parents=[gold[parent]], parameters=parameters,
        scores={"clap_cosine": round(float(rng.uniform(-1, 1)), 4), "clap_rank": float(rank)}, **kept,
    )  # fmt: skip


def training(root, name, accuracy):
    folder = root / f"stages/train_ast/{name}"
    folder.mkdir(parents=True)
    labels = [LABELS[i % len(LABELS)] for i in range(40)]
    frame = pd.DataFrame({"clip_id": [f"t{i:02d}" for i in range(40)], "split": "test", "label": labels})
    predicted = [label if i < 40 * accuracy else LABELS[0] for i, label in enumerate(labels)]
    frame.assign(predicted=predicted).to_parquet(folder / "predictions.parquet")
    result = {
        "test_accuracy": accuracy, "val_accuracy": accuracy, "test_macro_f1": accuracy, "train_clips": 50, "classes": LABELS,
        "confusion": (3 * np.eye(len(LABELS), dtype=int) + 1).tolist(),
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "curves.json").write_text(json.dumps([{"step": s, "val_accuracy": accuracy * s / 20} for s in (10, 20)]))
    return f"stages/train_ast/{name}"


def study(root, count, gold=50, pictures=12):
    """Make a study of ``count`` clips, ``gold`` of them gold, in two sources; returns its page's folder and the manifests' rows."""
    files = sounds(root)
    known = [
        manifest.row(manifest.clip_id("gold", i), files[i % SOUNDS], "gold", label=LABELS[i % len(LABELS)], split="train", duration_s=1.0,
                     sample_rate_hz=8000, channels=1, parameters={"line": i + 2, "source_path": f"audio/{i}.wav"})
        for i in range(gold)
    ]  # fmt: skip
    ids = [row["clip_id"] for row in known]
    made = [clip(i, files[i % SOUNDS], ids) for i in range(count - gold)]
    parts = {"gen_a": [row for i, row in enumerate(made) if i % 5 < 2], "gen_b": [row for i, row in enumerate(made) if i % 5 in (2, 3)],
             "gen_b2": [row for i, row in enumerate(made) if i % 5 == 4]}  # fmt: skip
    manifest.write(root / "stages/stratify/aa", manifest.frame(known))
    manifest.write(root / "stages/prepare/aa", manifest.frame(known))
    with (root / "stages/prepare/aa/rejected.csv").open("w", newline="") as handle:
        csv.writer(handle).writerow(("file", "line", "column", "reason", "detail", "path"))
    for name, rows in parts.items():
        manifest.write(root / f"stages/clap_filter/{name}", manifest.frame(rows))
    folders = {name: f"stages/clap_filter/{name}" for name in parts}
    sources = (
        SourceRun("plain", (folders["gen_a"],), (folders["gen_a"],)),
        SourceRun("with_rounds", (folders["gen_b"], folders["gen_b2"]), (folders["gen_b"], folders["gen_b2"])),
    )
    arms = (ArmRun("gold only", 1, training(root, "a", 0.5)), ArmRun("gold + synthetic", 1, training(root, "b", 0.75)))
    request = Request(
        "synthio · made up", "stages/prepare/aa", (GoldRun("stages/stratify/aa"),), sources, arms, "num_samples: 50\n",
        command="./run.sh synthio", settings=Settings(max_pictures=pictures, bootstrap_draws=100),
    )  # fmt: skip
    output = root / "stages/report/aa"
    output.mkdir(parents=True)
    run(request, Context(output, root, emit=lambda kind, values: None))
    return output, known + made
