"""One file a family; each registers itself and is found by being here."""
