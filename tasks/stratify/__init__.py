"""Draws the gold subset: few train clips, the classes in their proportions."""
