"""The stages of a run: its YAML files, training that is done once by content, and merging."""
