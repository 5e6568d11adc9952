"""Read image files and Fashion-MNIST into arrays, with numpy and Pillow."""
