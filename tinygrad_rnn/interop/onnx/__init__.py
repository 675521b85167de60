"""ONNX: files, the graphs in them, and operators on our values."""
