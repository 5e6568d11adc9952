"""Turn a checkpoint into a bundle: ONNX graphs, quantised graphs, and the proof that they agree."""
