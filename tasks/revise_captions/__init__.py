"""Self-reflection: new captions for the clips that the filter rejected, away from what the accepted clips hold already."""
