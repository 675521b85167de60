"""One timestep as items and links: what is drawn of it at each level, and how a node reads."""
