"""SynthAX's side: runs in ``envs/synthax`` and renders given parameters with SynthAX 0.2.2, sound by sound, in double precision.

Sound by sound, since in a batch SynthAX scales all sounds by the first one's peak. As a program it reads lines ``PARAMETERS.npz AUDIO.npz``
from its input, and answers each with ``done``: the first file has ``name``, ``names`` [P], ``unit`` [B, P] as SynthAX understands it,
``sample_rate_hz``, ``duration_s`` and ``control_rate_hz``; the second gets ``audio`` [B, T].
"""

import re
import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from synthax.config import SynthConfig  # noqa: E402
from synthax.synth import ParametricSynth, Voice, VoiceExpanded  # noqa: E402

MAKERS = {
    "voice": Voice,
    "voicefm": VoiceExpanded,
    "parametric": lambda config: ParametricSynth(config, sine=2, square_saw=2, fm_sine=1, fm_square_saw=1),
}


def filled(tree, rows):
    """Return SynthAX's tree of unit values with ours in it; ``rows`` holds {name: [B]}."""
    found = {}
    for module, leaves in tree.items():
        name = re.sub(r"^modules_", "", module)
        found[module] = {}
        for leaf, value in leaves.items():
            ours = [rows[key] for key in rows if key == f"{name}.{leaf}" or (leaf in ("mod", "level") and key.startswith(f"{name}."))]
            assert len(ours) == value[0].size, (name, leaf, len(ours), value.shape)
            found[module][leaf] = jnp.asarray(np.stack(ours, axis=1).reshape(value.shape), value.dtype)
    return {"params": found}


def rendered(name, names, units, kind, at_once, rate_hz, duration_s, control_hz, known=None):
    """Return audio [B, T] of unit values [B, P].

    Args:
        name: of the synthesiser.
        names: of its parameters.
        units: their values.
        kind: numpy type to work in.
        at_once: all sounds in one batch, faults included; otherwise one by one.
        rate_hz: of the sounds.
        duration_s: of a sound.
        control_hz: of envelopes and modulation.
        known: compiled synthesisers, which are added to.
    """
    made, known = [], {} if known is None else known
    size = len(units) if at_once else 1
    key = (name, size, rate_hz, duration_s, control_hz, kind)
    if key not in known:
        synth = MAKERS[name](SynthConfig(batch_size=size, sample_rate=rate_hz, buffer_size_seconds=duration_s, control_rate=control_hz))
        known[key] = synth.init(jax.random.PRNGKey(0))["params"], jax.jit(synth.apply)
    tree, render = known[key]
    for at in range(0, len(units), size):
        rows = {one: units[at : at + size, place].astype(kind) for place, one in enumerate(names)}
        cast = jax.tree.map(lambda leaf: leaf.astype(kind), tree)
        made.append(np.asarray(render(filled(cast, rows))))
    return np.concatenate(made)


def main():
    """Answer until the input ends."""
    known = {}
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source, allow_pickle=False) as given:
            numbers = [given[one].item() for one in ("sample_rate_hz", "duration_s", "control_rate_hz")]
            audio = rendered(str(given["name"]), given["names"].tolist(), given["unit"], np.float64, False, *numbers, known=known)
        np.savez(target, audio=audio.astype(np.float32))
        print("done", flush=True)


if __name__ == "__main__":
    main()
