"""What every chain of maps shares: its operators for autograd and vmap, and its CPU driver."""
