"""Tests of wayside.sim."""
