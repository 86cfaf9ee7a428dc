"""Frozen models that turn sounds into vectors, for preset encoders to aim at; ``opening.open_audio_model("mel")`` gives one.

Every number that comes out of one should say which: see ``AudioModel.identity`` and docs/presets.md.
"""
