"""Other people's models and formats: their weights as cells, their steps as primitives, and the way out again."""
