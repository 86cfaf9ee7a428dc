"""Finds, in a pool of other recordings, the clips most like the gold clips: the retrieval baseline of the Synthio table."""
