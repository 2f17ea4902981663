"""Families that other libraries compute, one file a library: registered whether or not the library is installed.

Each is used as its documentation says and as it ships: starts, networks and formulas are the library's own. nfbench
adds the learned diagonal base, and nothing is mended: what a library computes otherwise than autograd or the paper
says, `nfbench verify` shows. `nfbench.timing.contenders.libraries` times the same objects.
"""
