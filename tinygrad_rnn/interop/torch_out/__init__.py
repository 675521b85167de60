"""The way out to PyTorch: cells of ours as modules."""
