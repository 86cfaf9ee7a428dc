"""Draws a catalogue of room impulse responses: plans, decays with their fits, directions, distributions."""
