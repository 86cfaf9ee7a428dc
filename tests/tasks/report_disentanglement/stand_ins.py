"""A study in the formats of train_vae, evaluate_disentanglement, plot_latents and classify_waveform, for tests of the page."""

import matplotlib as mpl
import numpy as np

from core import atomic, audio
from core.context import Context
from tasks.report_disentanglement.spec import LEGACY, METRICS, Request, Run, Settings
from tasks.report_disentanglement.stage import run

HOSTILE = '<script>alert("x")</script> & "quotes"'
SEEDS = (1, 2, 3)
MIG = {"vae": (0.30, 0.36, 0.33), "beta_vae": (0.34, 0.40, 0.31), "factor_vae": (0.10, 0.12, 0.11)}
"""VAE and β-VAE overlap, FactorVAE is clear of both."""
LATENT, STEPS = 4, 10


def training(root, method, seed, mig, pictured, **about):
    folder = root / f"stages/train_vae/{method}{seed}"
    folder.mkdir(parents=True)
    found = {
        "method": method, "seed": seed, "parameters": 1117, "active_units": 2, "collapsed": False,
        "kl_per_dimension": [0.01, 2.5, 0.0, 1.5], "val_reconstruction": 12.5, "features_digest": "f00d", "faults": [],
    }  # fmt: skip
    atomic.write_json(folder / "training.json", {**found, **about})
    steps = range(100, 1000, 100)
    curves = {name: [[step, seed + 100 / step] for step in steps] for name in ("loss", "reconstruction", "kl", "active_units")}
    atomic.write_json(folder / "curves.json", {**curves, "effective_beta": [[100, 0.5], [900, 0.0625]], "val_loss": []})
    evaluation = root / f"stages/evaluate_disentanglement/{method}{seed}"

    def summary(names, value, sd=0.004):
        return {name: {"mean": value, "sd": sd, "repeats": 3} for name in names}

    known = [name for name in METRICS if name not in ("udr", "irs")]
    bits = [[0.0, 1.8, 0.0, 0.1], [0.02, 0.1, 0.0, 1.2], [0.0, 0.0, None, 0.0]]
    atomic.write_json(evaluation / "scores.json", {
        "corrected": summary(known, mig) | {"z_diff": {"mean": None, "sd": None, "repeats": 0}}, "legacy": summary(LEGACY, 0.5 - mig),
        "baseline_random": summary(known, 0.01), "baseline_oracle": summary(known, 0.99),
        "legacy_baseline_random": summary(LEGACY, 0.02), "legacy_baseline_oracle": summary(LEGACY, 0.375), "udr": 0.4 + mig,
        "mutual_information": {"factors": [HOSTILE, "frequency", "amplitude"], "codes": ["z1", "z2", "z3", "z4"], "bits": bits},
        "factor_entropy_bits": {HOSTILE: 2.0, "frequency": 3.3, "amplitude": 3.3}, "rows": 400, "split": "test", "split_reason": "held out",
        "codes": "mean",
    })  # fmt: skip
    where = plotted(root, f"{method}{seed}") if pictured else ""
    return Run(method, seed, f"stages/train_vae/{method}{seed}", f"stages/evaluate_disentanglement/{method}{seed}", where)


def plotted(root, name):
    folder = root / f"stages/plot_latents/{name}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(name))

    def wav(stem):
        audio.write(folder / f"{stem}.wav", 0.2 * np.sin(np.arange(1600) * rng.uniform(0.1, 1)).astype(np.float32), 16000)
        return f"{stem}.wav"

    def picture(stem, tiles=1):
        mpl.image.imsave(folder / f"{stem}.png", rng.random((16, 8 * tiles)), cmap="magma")
        return f"{stem}.png"

    def drawing(stem):
        (folder / f"{stem}.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><path d="M0 0h9v3z"/></svg>')
        return f"{stem}.svg"

    def gif(stem):
        mpl.image.imsave(folder / f"{stem}_still.png", rng.random((16, 16)), cmap="magma")
        (folder / f"{stem}_still.png").rename(folder / f"{stem}.gif")
        return f"{stem}.gif"

    reconstructions = [
        {"title": f"{HOSTILE} {clip}", "clip": clip, "strip": picture(f"r{clip}", 2), "svg": drawing(f"r{clip}"),
         "original_wav": wav(f"o{clip}"), "resynthesis_wav": wav(f"s{clip}"), "reconstruction_wav": wav(f"r{clip}")}
        for clip in (11, 5)
    ]  # fmt: skip
    samples = [{"title": f"sample {n}", "strip": picture(f"p{n}"), "wav": wav(f"p{n}")} for n in range(3)]
    traversals = [
        {"dimension": d, "title": "t", "strip": picture(f"t{d}", STEPS), "gif": gif(f"t{d}"), "values": list(np.linspace(-3, 3, STEPS)),
         "wavs": [wav(f"t{d}-{step}") for step in range(STEPS)]}
        for d in range(LATENT)
    ]  # fmt: skip
    atomic.write_json(folder / "pictures.json", {
        "reconstructions": reconstructions, "samples": samples, "traversals": traversals, "traversal_overview_svg": drawing("all"),
        "traversal_gif": gif("all"), "samples_gif": gif("samples"), "reconstruction_gif": gif("reconstructions"),
        "responses": drawing("responses"), "flagged": [], "split": "test", "base_clip": 5, "base_title": HOSTILE,
        "sound": "Griffin–Lim, 3 iterations",
    })  # fmt: skip
    return f"stages/plot_latents/{name}"


def described(root):
    factors = [{"name": name, "kind": "continuous", "values": [0.0] * count} for name, count in (("frequency", 10), ("phase", 1))]
    atomic.write_json(root / "stages/featurise/aa/features.json", {
        "mels": 128, "frames": 32, "sample_rate_hz": 16000, "normalisation": "log_db", "factors": factors, "flagged": [f"flag {HOSTILE}"],
        "grid_warnings": [],
    })  # fmt: skip
    one = {"accuracy": 0.875, "clips": 8, "by_waveform": {"sine": 1.0, HOSTILE: 0.75}, "confusion": [[4, 0], [1, 3]], "loss": 0.1}
    atomic.write_json(
        root / "stages/classify_waveform/aa/scores.json",
        {"val": one, "test": one, "classes": ["sine", HOSTILE], "best_step": 50, "seed": 1},
    )


def reported(root, name, runs, **values):
    output = root / "stages/report_disentanglement" / name
    output.mkdir(parents=True)
    settings = values.pop("settings", Settings())
    request = Request(f"syntone {HOSTILE}", "stages/featurise/aa", tuple(runs), "a: <b>\n", settings=settings, **values)
    return output, run(request, Context(output, root, emit=lambda kind, values: None))


def whole(root):
    """Three methods, three seeds, the first of each with pictures; returns the trainings."""
    return [training(root, method, seed, values[seed - 1], seed == 1) for method, values in MIG.items() for seed in SEEDS]
