"""Papers' numbers as data: one YAML file for each table or figure, and the schema that reads them."""
