"""Other libraries, one file each; a library that is not installed is a contender that lacks everything."""
