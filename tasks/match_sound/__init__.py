"""Matches sounds by estimated presets and re-renders them; see ``spec.py``."""
