"""Where images come from: image files, with numpy and Pillow."""
