"""Trains an audio spectrogram transformer on one arm and scores it on validation and, once, on the test clips."""
