"""Scores a trained preset encoder on drawn presets and on presets made by hand, as synth-proxy does, in both directions."""
