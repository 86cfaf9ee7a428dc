"""The two-branch encoder of spatial sound and its text encoder (ELSA, DISSE), their losses, and the scenes they hear."""
