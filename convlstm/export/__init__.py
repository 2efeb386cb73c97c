"""Checkpoints to static graphs for other engines."""
