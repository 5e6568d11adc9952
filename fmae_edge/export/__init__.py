"""Turn a checkpoint into a bundle: ONNX graphs, quantised graphs, and a proof that they agree."""
