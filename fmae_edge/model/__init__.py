"""The model that train and export share: config, autoencoder, learned prior, recipe, checkpoint."""
