"""Trains a small 1-D network to name a clip's waveform: a check that the grid's timbre can be told apart."""
