"""Everything that is stored: its schema, its files, and the table that all records make together."""
