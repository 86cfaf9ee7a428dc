"""Synthesises captioned sounds, named everyday ones and generic ones, for pretraining text-to-audio and audio–text models."""
