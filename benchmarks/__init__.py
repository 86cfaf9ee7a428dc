"""Paired measurements behind the claims; ``./run.sh bench`` runs them."""
