"""Additive couplings (NICE): plain PyTorch, operators and compiled CPU loops."""
