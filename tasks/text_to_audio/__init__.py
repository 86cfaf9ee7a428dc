"""Shared by ``train_text_to_audio`` and ``generate``: the model, its prompt encoder, its sound front end."""
