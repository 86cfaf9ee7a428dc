"""Audio Doppelgängers (ICLR 2025): an encoder taught by synthetic twins, frozen and probed."""
