"""From a sound to the preset that makes it: a network that estimates presets, its losses, and distances between sounds (synth-proxy, 2025).

Shared by the stages that train such a network and that match sounds with it.
"""
