"""Models as a service: who asks, which models may answer them, how much they may take, and what
they took."""
