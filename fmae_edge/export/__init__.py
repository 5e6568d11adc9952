"""Turn a checkpoint into a bundle: rewrite and quantise its layers, write ONNX graphs, and prove parity."""
