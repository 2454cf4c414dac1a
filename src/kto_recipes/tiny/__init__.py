"""A tiny Llama with a stiff, formal manner: the demo's base model, made on the spot."""
