"""Networks from a synthesiser's preset to the embedding of its sound (synth-proxy, 2025): how presets enter, bodies, fitting, ranking.

``encoder.load(folder)`` gives a trained one, ``inference.embed`` the embeddings of presets. See docs/preset_encoders.md.
"""
