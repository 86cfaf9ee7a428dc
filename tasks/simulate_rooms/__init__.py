"""Simulates rooms: responses in first-order Ambisonics at drawn positions, with their acoustics measured."""
