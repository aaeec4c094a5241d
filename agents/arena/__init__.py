"""The arena: everybody over the same rows, through one engine, after costs, with intervals."""
