"""What compiled CPU kernels share: threads, memory, tiles of draws, blocks of maps, lanes of data points."""
