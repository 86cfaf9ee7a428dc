"""Writes captions for the gold clips: the label template, or a MixCap without a language model over measured descriptors."""
