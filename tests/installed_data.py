"""Whether the real data set is there: `.ci/run` installs it, another machine may not have it."""

import pytest

from fmae_edge.data.fashion_mnist import DEBIAN_FOLDER

needs_data = pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
