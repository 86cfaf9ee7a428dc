"""The page of a study of preset encoders."""
