"""Classical augmentation of the gold clips: the baselines that generated clips are compared with."""
