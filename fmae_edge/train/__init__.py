"""Train the autoencoder in PyTorch and write a checkpoint."""
