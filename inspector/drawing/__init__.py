"""From a graph to a picture: what is drawn (items), what stands around it (tile), how it looks (theme), and Graphviz."""
