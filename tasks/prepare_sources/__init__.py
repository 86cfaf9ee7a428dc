"""Captioned dry clips (AudioCaps and its like) as the spatial stages take them: one row a clip, however many captions it has."""
