"""Turn a checkpoint into a bundle: layers, rewritten, quantised, written as ONNX graphs, and proof of parity."""
