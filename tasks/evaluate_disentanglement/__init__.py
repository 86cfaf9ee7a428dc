"""Scores how well codes take the factors of a grid apart; as a library: ``from tasks.evaluate_disentanglement import metrics``."""
