"""Shared room of the spatial stages that need torch: convolution in batches, levels and noise, rotation, intensity vectors, log-mels."""
