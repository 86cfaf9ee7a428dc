"""Ranks audio models by how well they order sound attributes; see ``spec.py``."""
