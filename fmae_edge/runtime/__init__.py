"""What an application embeds: numpy and onnxruntime, and nothing else of this package."""
