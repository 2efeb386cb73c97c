"""Data sets and training callbacks."""
