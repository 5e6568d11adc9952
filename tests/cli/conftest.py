"""An image on disk, as a user has it."""

import pytest
from PIL import Image


@pytest.fixture
def picture(tmp_path, images):
    path = tmp_path / "img.png"
    Image.fromarray(images[0]).save(path)
    return path
