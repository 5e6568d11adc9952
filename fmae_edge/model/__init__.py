"""What training and export share: config, autoencoder, learned prior, recipe, checkpoint. PyTorch."""
