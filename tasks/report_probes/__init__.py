"""The page of a study of frozen encoders."""
