"""What Triton kernels share: launch sizes, the self-check against plain PyTorch, elementary functions."""
