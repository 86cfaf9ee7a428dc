"""Three modular synthesisers in torch: SynthAX's Voice, VoiceFM and Parametric, with filters, transients and scenes beside them.

``build("voice")`` gives one; ``pairs.Pairs`` makes doppelgängers with it. See docs/synthesiser.md.
"""

from tasks.synthesiser.building import build
from tasks.synthesiser.synthesiser import Synthesiser

__all__ = ["Synthesiser", "build"]
