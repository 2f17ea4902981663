"""Experiments: their YAML files, the plan of cells that one makes, and the run of a group of cells."""
