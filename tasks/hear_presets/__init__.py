"""Preset sets heard by CLAP, which lives in an environment of its own."""
