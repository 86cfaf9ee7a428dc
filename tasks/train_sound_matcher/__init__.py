"""Trains a network that estimates the preset of a sound; see ``spec.py``."""
