"""Skip tests on machines without the real data set. `.ci/run` installs it."""

import pytest

from fmae_edge.data.fashion_mnist import DEBIAN_FOLDER

needs_data = pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
