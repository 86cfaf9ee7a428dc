"""Trains the contrastive encoder of Audio Doppelgängers on an endless stream of synthesised pairs, or on real sounds."""
