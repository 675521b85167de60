"""The recurrent parts of somebody's PyTorch model, watched while it trains."""
