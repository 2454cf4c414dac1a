"""The preflight: what would go wrong with a recipe, its data and this machine, before a GPU hour is spent."""
