"""A look at prepared data before they are trained on: counts, lengths, repeats, shortcuts, and what they suggest."""
