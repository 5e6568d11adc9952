"""Train the autoencoder in PyTorch; what leaves here is a checkpoint."""
