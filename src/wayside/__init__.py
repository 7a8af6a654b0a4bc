"""A semantic router."""
