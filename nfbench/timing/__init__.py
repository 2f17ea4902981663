"""Who is how fast, stated only where both sides compute the same numbers."""
