"""Did it work? Held-out measures of a run's models, each with its definition and its uncertainty."""
