"""Scores a spatial audio–text model on a fixed grid of held-out clips and rooms: retrieval, invariance, physics, words, swaps."""
