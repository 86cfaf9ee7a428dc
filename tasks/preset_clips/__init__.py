"""Rendered presets as a dataset of clips."""
