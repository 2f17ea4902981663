"""Models of data, p(x|z) p(z) with an encoder's features; each file registers itself."""
