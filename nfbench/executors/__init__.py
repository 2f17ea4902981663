"""Executors: where the groups of a plan are run."""
