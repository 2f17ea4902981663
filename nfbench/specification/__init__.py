"""What a user asks for, as validated data: specs, registries, configurations."""
