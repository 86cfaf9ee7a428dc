"""SynthAX's side of the parity test: runs in envs/synthax and renders given parameters with SynthAX 0.2.2, sound by sound.

``python synthax_child.py PARAMETERS.npz AUDIO.npz``: the first holds for each synthesiser ``<name>/names`` [P] and ``<name>/unit`` [B, P];
the second gets ``<name>/audio`` [B, T] and ``noise`` [T], in double precision. Sound by sound, since in a batch SynthAX scales all sounds
by the first one's peak. With a third word, ``more``, also ``<name>/batch`` (the sounds made in one batch) and, in SynthAX's own precision,
``<name>/audio_float32`` and ``noise_float32``: what ``synthax_reference.npz`` was made of.
"""

import sys

import jax
import numpy as np

from tasks.synthesize.synthax_child import MAKERS, rendered

RATE_HZ, DURATION_S, CONTROL_HZ = 16000, 1.0, 480
CLOCK = (RATE_HZ, DURATION_S, CONTROL_HZ)


def noise():
    """Return SynthAX's noise in the present precision."""
    return np.asarray(jax.random.uniform(jax.random.PRNGKey(0), shape=(1, RATE_HZ), minval=-1.0, maxval=1.0))[0]


def main(source, target, more=""):
    """Render every synthesiser that the source has parameters for."""
    given, found = np.load(source), {"noise": noise()}
    for name in (name for name in MAKERS if f"{name}/unit" in given):
        names, units = given[f"{name}/names"].tolist(), given[f"{name}/unit"]
        found[f"{name}/audio"] = rendered(name, names, units, np.float64, False, *CLOCK)
        if more:
            found[f"{name}/batch"] = rendered(name, names, units, np.float64, True, *CLOCK)
            jax.config.update("jax_enable_x64", False)
            found[f"{name}/audio_float32"], found["noise_float32"] = rendered(name, names, units, np.float32, False, *CLOCK), noise()
            jax.config.update("jax_enable_x64", True)
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
