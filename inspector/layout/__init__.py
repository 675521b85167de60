"""Where things stand and how lines run: order and rows within a step, columns of steps, and a router for lines."""
