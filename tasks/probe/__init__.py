"""Scores embeddings: how well a simple classifier on top of them names the clips' labels."""
