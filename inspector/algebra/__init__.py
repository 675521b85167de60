"""From a graph to equations: expressions, the names in them, how they are written, and what follows from them."""
