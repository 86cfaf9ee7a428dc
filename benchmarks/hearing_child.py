# mypy: ignore-errors
"""The measured sides of ``synth_proxy.embed``: hears the sounds of a folder whenever it is told to, in a per-file loop or as the stages do.

``python -m benchmarks.hearing_child loop|ours FOLDER FIRST LAST``, in ``envs/presets``: prints {MODEL: vectors' sum} when it is ready, then
for each line it reads, the name of an audio model, {clock, processor}, the seconds that took, and ends with its input. The folder has
``sounds.npy`` [N, T] and the same sounds as ``0.wav``, ``1.wav``, …, which ``sounds FOLDER N`` writes; FIRST and LAST say which of them
are heard.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

RATE_HZ, SAMPLES = 32_000, 160_000


def networks():
    """Return the audio models of the stages by name; EfficientAT has weights by chance, which take as long as others."""
    # By name, since the strict type check that benchmarks pass would otherwise follow these imports into torch code.
    mel = importlib.import_module("tasks.audio_models.mel_models").MelStatistics()
    torch.manual_seed(0)
    return {"mel": mel.eval(), "mn04": importlib.import_module("tasks.audio_models.efficient_at").EfficientAT("mn04").eval()}


def loop(files):
    """Return ways to hear files one after the other; the mel spectrogram is torchaudio's."""
    own = networks()["mn04"]
    like_librosa = {"norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"}
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, 2048, None, 1024, 20.0, 16_000.0, n_mels=128, **like_librosa)

    def mel_statistics(sound):
        levels = (torch.log(mel(sound) + 1e-5) + 2.0) / 5.0
        return torch.cat([levels.mean(-1), levels.std(-1, correction=0)], -1)

    def way(model):
        with torch.inference_mode():
            return np.concatenate([model(torch.from_numpy(soundfile.read(file, dtype="float32")[0])[None]).numpy() for file in files])

    return {"mel": lambda: way(mel_statistics), "mn04": lambda: way(own)}


def ours(sounds):
    """Return ways to hear memory-mapped sounds as ``render_presets`` does: block by block, on one thread."""
    torch.set_num_threads(1)
    listener = importlib.import_module("tasks.render_presets.listening").Listener
    block = importlib.import_module("tasks.render_presets.rendering").BLOCK

    def way(model):
        heard = listener(model, RATE_HZ, "cpu")
        return np.concatenate([heard.embeddings(list(sounds[at : at + block])) for at in range(0, len(sounds), block)])

    return {name: lambda model=model: way(model) for name, model in networks().items()}


def write_sounds(folder, count):
    """Write decaying chords with noise, as an array and as files."""
    rng = np.random.default_rng(0)
    seconds = np.arange(SAMPLES) / RATE_HZ
    sounds = np.lib.format.open_memmap(folder / "sounds.npy", "w+", np.float32, (count, SAMPLES))
    for number in range(count):
        tones = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in rng.uniform(80, 4000, 3))
        made = 0.1 * np.exp(-seconds) * tones + rng.normal(0, 0.01, SAMPLES)
        soundfile.write(folder / f"{number}.wav", made, RATE_HZ, subtype="PCM_16")
        sounds[number] = soundfile.read(folder / f"{number}.wav", dtype="float32")[0]
    sounds.flush()
    print(json.dumps(count))


def main(side, folder, *numbers):
    """Serve until the input ends."""
    if side == "sounds":
        write_sounds(Path(folder), *map(int, numbers))
        return
    first, last = map(int, numbers)
    if side == "loop":
        ways = loop([Path(folder) / f"{number}.wav" for number in range(first, last)])
    else:
        ways = ours(np.load(Path(folder) / "sounds.npy", mmap_mode="r")[first:last])
    print(json.dumps({name: float(np.abs(way()).sum(dtype=np.float64)) for name, way in ways.items()}), flush=True)
    for line in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        ways[line.strip()]()
        print(json.dumps({"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
