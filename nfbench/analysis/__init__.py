"""Numbers from records. Nothing here imports torch or a registry: stored results outlive the code that made them."""
