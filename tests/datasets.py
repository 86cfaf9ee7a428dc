"""A small store to publish from: gold clips with licences, synthetic ones made from them, one rejected."""

from __future__ import annotations

import json

import numpy as np

from core import audio, keys, manifest

RATE = 16000
LICENCES = (
    {"licence": "CC0", "author": "nfrae", "source": "http://x/100032/", "licence_url": "http://creativecommons.org/publicdomain/zero/1.0/"},
    {"licence": "CC-BY", "author": "Ünï | codé", "title": "rain", "licence_url": "http://creativecommons.org/licenses/by/3.0/"},
    {"licence": "CC-BY-NC", "author": "c", "licence_url": "http://creativecommons.org/licenses/by-nc/4.0/"},
)
GOLD, MADE = "stages/prepare/" + "a" * 20, "stages/generate/" + "b" * 20


def tone(frequency_hz, seconds=0.1, rate_hz=RATE):
    return (0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def write(root, folder, name, samples, rate_hz=RATE):
    """Write a clip and return the columns that describe its file."""
    path = root / folder / "audio" / f"{name}.flac"
    audio.write(path, samples, rate_hz)
    described = {
        "duration_s": samples.shape[-1] / rate_hz,
        "sample_rate_hz": rate_hz,
        "channels": samples.ndim,
        "sha256": keys.file_digest(path),
    }
    return path.relative_to(root).as_posix(), described


def gold(root, count=6, folder=GOLD, labels=("dog", 'he said "hi", ünd_так')):
    """Write gold clips in three splits; the last is rejected."""
    rows = []
    for number in range(count + 1):
        clip = manifest.clip_id("gold", number)
        values = {
            "label": labels[number % len(labels)], "split": ("train", "val", "test")[number % 3], "caption": f"tone {number}",
            "parameters": {"line": number, "attribution": LICENCES[number % 3]},
        }  # fmt: skip
        if number == count:
            rows.append(manifest.row(clip, f"rejected/{clip}", "gold", status="rejected", reason="silent", **values))
            continue
        path, described = write(root, folder, clip, tone(200 + 50 * number))
        rows.append(manifest.row(clip, path, "gold", **values, **described))
    manifest.write(root / folder, manifest.frame(rows))
    return folder


def made(root, count=2, folder=MADE, source=GOLD, loudness=1.0):
    """Write synthetic clips, each from two gold ones, with scores, and the record that names the gold folder as their source."""
    rows = []
    for number in range(count):
        clip, parents = manifest.clip_id("made", number), [manifest.clip_id("gold", 0), manifest.clip_id("gold", 1 + number)]
        path, described = write(root, folder, clip, tone(900 + 50 * number) * loudness)
        rows.append(manifest.row(clip, path, "generate", label="dog", split="train", parents=parents,
                                 scores={"clap_cosine": 0.25 * (number + 1)}, **described))  # fmt: skip
    manifest.write(root / folder, manifest.frame(rows))
    (root / folder / "done.json").write_text(json.dumps({"identity": {"request": {"train": source}}}))
    return folder
