"""onnxruntime at work: sessions, threads, and the graphs of a bundle."""
