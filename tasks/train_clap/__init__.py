"""Fits a compact audio–text model on the gold clips, for machines without a published checkpoint."""
