"""Chains of flow maps as single functions: one file a map, one dispatch a map; nobody else knows what runs."""
