"""Planar maps: plain PyTorch, compiled CPU loops, Triton kernels."""
