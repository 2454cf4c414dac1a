"""From what a source yields to rows that can be trained on."""
