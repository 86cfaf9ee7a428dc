"""Trains a preset encoder: from a synthesiser's preset to the embedding that an audio model gives its sound (synth-proxy, 2025)."""
