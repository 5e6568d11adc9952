"""Mark tests that need the whole data set, which `.ci/run` installs and other machines may not have."""

import pytest

from fmae_edge.data.fashion_mnist import DEBIAN_FOLDER

needs_data = pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
