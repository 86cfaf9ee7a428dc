"""Aligns a text-to-audio model with the gold clips: by preference pairs (Diffusion-DPO), or by plain fine-tuning."""
