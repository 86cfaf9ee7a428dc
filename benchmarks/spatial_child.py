# mypy: ignore-errors
"""The measured sides of ``delsa.scenes``: convolves or makes features whenever it is told to, our way or the original's.

``python -m benchmarks.spatial_child ours|theirs CORE …``, in ``envs/train``: prints {} when it is ready, then for each line it reads,
``convolve`` or ``features``, {clock, processor}, the seconds that took, and ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

import torch
import torchaudio

RATE_HZ, SAMPLES, CLIPS = 48_000, 480_000, 2
LENGTHS = (9_600, 24_001, 48_000, 95_999)
"""Samples of the RIRs: 0.2 to 2 s, as they fall from a simulator."""


def material():
    """Return dry clips [B, T], RIRs [4, L] of several lengths, and scenes [4, 4, T]."""
    generator = torch.Generator().manual_seed(0)
    rirs = [torch.randn(4, length, generator=generator) * torch.exp(-6.9 * torch.arange(length) / length) for length in LENGTHS]
    return 0.1 * torch.randn(CLIPS, SAMPLES, generator=generator), rirs, 0.1 * torch.randn(4, 4, SAMPLES, generator=generator)


def ours():
    """Return our ways: a Cartesian block at once, features of a batch with the mel inside."""
    # By name, since the strict type check that benchmarks pass would otherwise follow these imports into torch code.
    convolution = importlib.import_module("tasks.spatial_features.convolution")
    intensity = importlib.import_module("tasks.spatial_features.intensity").Intensity(RATE_HZ)
    mel = importlib.import_module("tasks.spatial_features.log_mel").ClapMel()
    return lambda dry, rirs: list(convolution.convolve(dry, convolution.padded(rirs)).flatten(0, 1)), lambda foa: (
        *intensity(foa),
        mel(foa[:, 0])[:, 0],
    )


def theirs():
    """Return DISSE's ways (its published formulas, our words): item by item, the mel by transformers in numpy."""
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(truncation="fusion", padding="repeatpad", frequency_min=50, frequency_max=14_000)

    def convolve(dry, rirs):
        return [torchaudio.functional.fftconvolve(clip.repeat(4, 1), rir)[..., :SAMPLES] for clip in dry for rir in rirs]

    def features(foa):
        made = [one(scene) for scene in foa]
        return [torch.stack(part) for part in zip(*made, strict=True)]

    def one(scene):
        heard = torchaudio.functional.resample(scene, RATE_HZ, 16_000)
        spectrum = torch.stft(heard, 400, 100, window=torch.hann_window(400), center=True, return_complex=True)
        omni = spectrum[0].conj()
        active, reactive = (torch.stack([getattr(omni * axis, part) for axis in spectrum[1:]]) for part in ("real", "imag"))
        norm = torch.linalg.vector_norm(active, dim=0, keepdim=True)
        mel = extractor(scene[0].numpy(), sampling_rate=RATE_HZ, return_tensors="pt")["input_features"][0, 0]
        return torch.where(norm > 1e-6, active / norm, active), torch.where(norm > 1e-6, reactive / norm, reactive), mel

    return convolve, features


def main(way, *cores):
    """Do what the lines say."""
    os.sched_setaffinity(0, {int(core) for core in cores})
    torch.set_num_threads(len(cores))
    torch.set_grad_enabled(False)
    dry, rirs, foa = material()
    convolve, features = {"ours": ours, "theirs": theirs}[way]()
    work = {"convolve": lambda: convolve(dry, rirs), "features": lambda: features(foa)}
    print(json.dumps({name: digest(do()) for name, do in work.items()}), flush=True)  # the first time warms up, and tells what came out
    for line in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        work[line.strip()]()
        print(json.dumps({"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}), flush=True)


def digest(made):
    """Return the sizes and the RMS of what came out, by which both sides can be seen to do the same."""
    return [[list(part.shape), round(float(part.double().square().mean().sqrt()), 3)] for part in made]


if __name__ == "__main__":
    main(*sys.argv[1:])
