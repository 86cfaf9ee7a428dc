"""Spatial captions: what sounds, and from where in which room, for pairs of a clip and a room impulse response."""
