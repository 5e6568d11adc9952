"""onnxruntime: sessions, threads, and the graphs of a bundle."""
