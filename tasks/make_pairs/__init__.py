"""Makes preference pairs, winner and loser for one prompt, out of gold and generated clips."""
