"""A picture written down: SVG, DOT and Graphviz, TikZ."""
