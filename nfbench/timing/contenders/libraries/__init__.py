"""Other libraries, one file each: the same function by what each ships; a library that lacks a map shows as lacking.

Each is used as its documentation says, its draws and their density written as its own sampling does it, with the noise
passed in. nfbench's numbers are put into its parametrisation, so that the function is the same. Nothing is mended: what
a library computes otherwise than the paper shows as disagreement. A library that is not installed lacks everything.
"""
