"""Synthesises every combination of waveform, frequency, amplitude and further factors, or takes in a published ``.npz`` of them."""
