"""One file per target: what an intent comes to there."""
