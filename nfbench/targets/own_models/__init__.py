"""Targets that are a user's own model, named by a spec: ``file:my_model.py``."""
