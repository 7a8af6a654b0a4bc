"""Asking one configured server over HTTP: what engines and stores that are elsewhere share."""
