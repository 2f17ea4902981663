"""Densities over z without data; each file registers itself and is found by being here."""
