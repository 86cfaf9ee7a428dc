"""SynthAX's side of the parity test: runs in envs/synthax and renders given parameters with SynthAX 0.2.2, sound by sound.

``python synthax_child.py PARAMETERS.npz AUDIO.npz``: the first holds for each synthesiser ``<name>/names`` [P] and ``<name>/unit`` [B, P];
the second gets ``<name>/audio`` [B, T] and ``noise`` [T], in double precision. Sound by sound, since in a batch SynthAX scales all sounds
by the first one's peak. With a third word, ``more``, also ``<name>/batch`` (the sounds made in one batch) and, in SynthAX's own precision,
``<name>/audio_float32`` and ``noise_float32``: what ``synthax_reference.npz`` was made of.
"""

import re
import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from synthax.config import SynthConfig  # noqa: E402
from synthax.synth import ParametricSynth, Voice, VoiceExpanded  # noqa: E402

RATE_HZ, DURATION_S, CONTROL_HZ = 16000, 1.0, 480
MAKERS = {
    "voice": Voice,
    "voicefm": VoiceExpanded,
    "parametric": lambda config: ParametricSynth(config, sine=2, square_saw=2, fm_sine=1, fm_square_saw=1),
}


def config_of(sounds):
    return SynthConfig(batch_size=sounds, sample_rate=RATE_HZ, buffer_size_seconds=DURATION_S, control_rate=CONTROL_HZ)


def filled(tree, rows):
    """Return SynthAX's tree of unit values with ours in it; ``rows`` holds {name: [B]}, unit values as SynthAX understands them."""
    found = {}
    for module, leaves in tree.items():
        name = re.sub(r"^modules_", "", module)
        found[module] = {}
        for leaf, value in leaves.items():
            ours = [rows[key] for key in rows if key == f"{name}.{leaf}" or (leaf in ("mod", "level") and key.startswith(f"{name}."))]
            assert len(ours) == value[0].size, (name, leaf, len(ours), value.shape)
            found[module][leaf] = jnp.asarray(np.stack(ours, axis=1).reshape(value.shape), value.dtype)
    return {"params": found}


def rendered(name, names, units, kind, at_once):
    """Return audio [B, T] of unit values [B, P]."""
    made = []
    size = len(units) if at_once else 1
    synth = MAKERS[name](config_of(size))
    tree = synth.init(jax.random.PRNGKey(0))["params"]
    render = jax.jit(synth.apply)
    for at in range(0, len(units), size):
        rows = {key: units[at : at + size, place].astype(kind) for place, key in enumerate(names)}
        cast = jax.tree.map(lambda leaf: leaf.astype(kind), tree)
        made.append(np.asarray(render(filled(cast, rows))))
    return np.concatenate(made)


def noise():
    """Return SynthAX's noise in the present precision."""
    return np.asarray(jax.random.uniform(jax.random.PRNGKey(0), shape=(1, RATE_HZ), minval=-1.0, maxval=1.0))[0]


def main(source, target, more=""):
    """Render every synthesiser that the source has parameters for."""
    given, found = np.load(source), {"noise": noise()}
    for name in (name for name in MAKERS if f"{name}/unit" in given):
        names, units = given[f"{name}/names"].tolist(), given[f"{name}/unit"]
        found[f"{name}/audio"] = rendered(name, names, units, np.float64, False)
        if more:
            found[f"{name}/batch"] = rendered(name, names, units, np.float64, True)
            jax.config.update("jax_enable_x64", False)
            found[f"{name}/audio_float32"], found["noise_float32"] = rendered(name, names, units, np.float32, False), noise()
            jax.config.update("jax_enable_x64", True)
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
