"""Vector arithmetic for compiled loops: LLVM vectors, elementary functions, prefetching."""
