"""Ways out to ONNX: cells, runs and opened models as files."""
