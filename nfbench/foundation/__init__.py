"""The ground floor: errors, files, names, numerics, this machine. It knows nothing of inference."""
