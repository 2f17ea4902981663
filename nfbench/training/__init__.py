"""One standardized training, the same for every family."""
