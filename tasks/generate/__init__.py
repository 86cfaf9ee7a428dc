"""Generates clips with the text-to-audio model: N per gold clip, from noise or from the gold clip's own latent."""
