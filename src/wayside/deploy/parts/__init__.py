"""What several targets are made of: pure functions from an intent to objects."""
