"""The page of a study of spatial audio–text models."""
