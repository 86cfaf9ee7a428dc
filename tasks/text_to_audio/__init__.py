"""Shared by ``train_text_to_audio`` and ``generate``: the model from stable-audio-tools' configs, its prompt encoder, its sound front end."""
