"""A cell over time: cells and their states, stacks of them, and the unrolled run."""
