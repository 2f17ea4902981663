"""A chain of maps as one function. One folder a map; `simd`, `cpu` and `gpu` hold what maps share."""
