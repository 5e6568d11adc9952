"""The part that an application embeds. It needs only numpy and onnxruntime, and no other layer of this package."""
