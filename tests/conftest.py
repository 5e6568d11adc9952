"""Shared fixtures: real test images, the default bundle, the command line."""

import gc
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmae_edge.cli import main
from fmae_edge.commands.console import set_verbosity
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from tests.manifest_changes import rewrite

# Two pytest workers whose PyTorch has one thread per CPU would wait for each other
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).parent.parent
CHECKPOINT = REPOSITORY / "checkpoints" / "fashion-mnist"
COMMAND = Path(sys.executable).with_name("fmae-edge")
_IDX_HEADER_BYTES = 16


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """The first 256 test images of Fashion-MNIST, (256, 28, 28)."""
    content = gzip.decompress((REPOSITORY / "tests/data/test-images-256.idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=_IDX_HEADER_BYTES).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def fashion_mnist():
    """The complete data set, if it is installed."""
    from fmae_edge.data.fashion_mnist import load_fashion_mnist

    return load_fashion_mnist()


@pytest.fixture(autouse=True)
def usual_verbosity() -> None:
    """Undo the --quiet and --verbose of the previous test."""
    set_verbosity()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the default bundle that a test may damage."""
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in DEFAULT_BUNDLE.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, images: NDArray[np.uint8]) -> Path:
    """A run of a small model, trained with a rate for a few seconds: its images are blurs, and it exports fast."""
    import torch

    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.checkpoint import start_run
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import PriorFit, Recipe
    from fmae_edge.train.loop import train

    run = tmp_path_factory.mktemp("runs") / "small"
    config = ModelConfig(latent_size=16, widths=(4, 8, 16))
    recipe = Recipe(10, batch_size=20, lr=0.02, rate_distortion=0.0008, prior_fit=PriorFit(steps=20))
    pixels = torch.from_numpy(images.copy())
    start_run(run, config, recipe)
    torch.manual_seed(recipe.seed)
    train(run, Autoencoder(config), recipe, pixels[:200], pixels[200:], torch.device("cpu"))
    return run


@pytest.fixture(scope="session")
def rgb_images() -> NDArray[np.uint8]:
    """A few RGB images, (12, 26, 20, 3)."""
    pytest.importorskip("torch")
    from tests.random_bundle import smooth_images

    return smooth_images(12, 26, 20, 3)


@pytest.fixture(scope="session")
def rgb_bundle(tmp_path_factory: pytest.TempPathFactory, rgb_images: NDArray[np.uint8]) -> Path:
    """A bundle for RGB images of 20x26 pixels, whose model is random. Its tests are skipped without PyTorch."""
    pytest.importorskip("torch")
    from fmae_edge.model.config import ModelConfig
    from tests.random_bundle import make_bundle

    folder = tmp_path_factory.mktemp("rgb")
    make_bundle(folder, ModelConfig(26, 20, 3, 12, (4, 8, 16)), rgb_images)
    return folder / "bundle"


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `fmae-edge ARGUMENTS...` in `tmp_path`; standard input is empty unless given as bytes.

    It runs in this process, because a new one would need seconds for imports.
    """

    def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        given, out, err = (TextIOWrapper(BytesIO(content), "utf-8") for content in (stdin, b"", b""))
        code = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["fmae-edge", *map(str, arguments)])
            for name, stream in (("stdin", given), ("stdout", out), ("stderr", err)):
                patch.setattr(sys, name, stream)
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                gc.unfreeze()  # only a process that ends has no use for its garbage
        said = []
        for stream in (out, err):
            stream.flush()
            said.append(stream.buffer.getvalue().decode("utf-8", "backslashreplace"))
        return subprocess.CompletedProcess(arguments, code, *said)

    return run


@pytest.fixture
def installed(tmp_path: Path) -> Cli:
    """Run as `cli` does, with the installed command in a new process."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run([COMMAND, *arguments], cwd=tmp_path, input=stdin, capture_output=True, check=False)
        out, err = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture
def knows_clothing(bundle):
    """The default bundle with about the floors that export measures for it."""
    rewrite(bundle, lambda content: content["qualities"].update(contrast_floors=[3.0] * 9))
    return bundle


@pytest.fixture
def pictures(tmp_path, images):
    """Images of clothing, c0.png to c39.png, and of noise, n0.png to n3.png."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.uint8)
    for name, some in (("c", images[:40]), ("n", noise)):
        for number, image in enumerate(some):
            (tmp_path / f"{name}{number}.png").write_bytes(png_bytes(image))
    return tmp_path
