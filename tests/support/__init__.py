"""What several tests share: synthetic records, families at wild parameters, image files, kernels to compare."""
