"""The part that an application embeds. It needs numpy and onnxruntime, and nothing else of this package."""
