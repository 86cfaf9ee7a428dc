"""Synthesises generic captioned sounds for pretraining text-to-audio and audio–text models."""
