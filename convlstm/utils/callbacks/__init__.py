"""What happens around the training loop, one callback a file."""
