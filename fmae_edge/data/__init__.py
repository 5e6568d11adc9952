"""Where images come from: image files, folders, Fashion-MNIST."""
