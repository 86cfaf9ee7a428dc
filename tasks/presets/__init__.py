"""Synthesisers as records, presets drawn from them or made by hand, and preset sets on disk. numpy and the standard library only.

``library.load_spec("dexed")`` gives a spec; ``reading.open_presets(folder)`` a set. See docs/presets.md.
"""
