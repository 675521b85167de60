"""From a graph to a picture: what is drawn (items), where (place, route, tile), how it looks (theme), and Graphviz."""
