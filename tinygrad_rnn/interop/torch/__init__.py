"""PyTorch's modules as cells: traced, their loops over time found, compared with PyTorch each time."""
