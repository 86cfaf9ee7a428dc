"""Synthesisers by name."""

from __future__ import annotations

from collections.abc import Sequence

from core.contract import check_range
from core.errors import InvalidValueError, nearest
from tasks.synthesiser import layouts
from tasks.synthesiser.modular import Modular
from tasks.synthesiser.scene import Scene
from tasks.synthesiser.synthesiser import COMPAT, Synthesiser

NAMES = ("voice", "voicefm", "parametric")
OSCILLATORS = ("sine", "square_saw", "fm_sine", "fm_square_saw")


def build(
    name: str, sample_rate_hz: int = 16000, duration_s: float = 1.0, control_rate_hz: int = 480, *, filtered: bool = False,
    transients: bool = False, events: int = 1, oscillators: dict[str, int] | None = None, compat: Sequence[str] = (),
) -> Synthesiser:  # fmt: skip
    """Build a synthesiser.

    Args:
        name: ``voice`` (78 parameters), ``voicefm`` (130) or ``parametric`` (340).
        sample_rate_hz: of the sounds.
        duration_s: length of the sounds.
        control_rate_hz: of envelopes and LFOs.
        filtered: add a resonant low-pass filter with an envelope (8 parameters more).
        transients: let notes begin with a click (4 parameters more).
        events: sounds per clip, each with an onset and a gain (2 parameters more each, where there are several).
        oscillators: ``parametric`` only: how many of each kind; by default sine 2, square_saw 2, fm_sine 1, fm_square_saw 1.
        compat: faults of SynthAX 0.2.2 to reproduce: ``first_item_normalisation``, ``noise_level``, ``same_noise``, or ``synthax`` for all.

    Raises:
        InvalidValueError: something is unknown or out of range.
    """
    if name not in NAMES:
        raise InvalidValueError("no such synthesiser", where="synthesiser", allowed=NAMES, received=name, hint=nearest(name, NAMES))
    check_range("synthesiser.sample_rate_hz", sample_rate_hz, 1000, 384_000)
    check_range("synthesiser.duration_s", duration_s, 0.01, 60.0)
    check_range("synthesiser.control_rate_hz", control_rate_hz, 10, sample_rate_hz)
    check_range("synthesiser.events", events, 1, 64)
    if duration_s * control_rate_hz < 2:
        hint = "a longer sound, or a higher control rate"
        where = "synthesiser.control_rate_hz"
        raise InvalidValueError("too few control points", where=where, allowed="at least 2 a sound", received=control_rate_hz, hint=hint)
    faults = COMPAT if "synthax" in compat else tuple(compat)
    if unknown := set(faults) - set(COMPAT):
        raise InvalidValueError("no such fault", where="synthesiser.compat", allowed=[*COMPAT, "synthax"], received=sorted(unknown))
    if oscillators is not None:
        _check_oscillators(name, oscillators)
    if name == "voice":
        layout = layouts.voice(1.0 if "noise_level" in faults else layouts.NOISE_CURVE)
    else:
        layout = layouts.voicefm() if name == "voicefm" else layouts.parametric(**(oscillators or {}))
    made = Modular(name, layout, duration_s, sample_rate_hz, control_rate_hz, filtered, transients, faults)
    return made if events == 1 else Scene(made, events, faults)


def _check_oscillators(name: str, given: dict[str, int]) -> None:
    where = "synthesiser.oscillators"
    if name != "parametric":
        raise InvalidValueError("only parametric has a choice", where=where, allowed="none", received=given)
    for kind, count in given.items():
        if kind not in OSCILLATORS:
            raise InvalidValueError("no such oscillator", where=where, allowed=OSCILLATORS, received=kind, hint=nearest(kind, OSCILLATORS))
        check_range(f"{where}.{kind}", count, 0, 16)
    if not sum({**dict.fromkeys(("sine", "square_saw"), 2), "fm_sine": 1, "fm_square_saw": 1, **given}.values()):
        raise InvalidValueError("no oscillator at all", where=where, allowed="at least one", received=given)
