"""Synthesises the demo dataset: everyday sounds, labelled, in three disjoint splits."""
