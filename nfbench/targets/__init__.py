"""What is being inferred, with whatever is exactly known about it."""
