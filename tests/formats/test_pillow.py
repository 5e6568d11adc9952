"""Pillow opens and saves .fmae files as it does other formats, with the bundle that made them."""

import io
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence, UnidentifiedImageError

import fmae_edge.pillow
from fmae_edge import BundleError, Codec, InputError
from fmae_edge.pillow import register_bundle
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def codec():
    return Codec(threads=1)


@pytest.fixture(autouse=True)
def usual_bundles(monkeypatch):
    monkeypatch.setattr(fmae_edge.pillow, "_added", {})


def opened(content):
    return Image.open(io.BytesIO(content))


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "FMAE", **options)
    return file.getvalue()


def test_an_image_is_saved_and_opened(tmp_path, images, codec):
    path = tmp_path / "a.fmae"
    Image.fromarray(images[0]).save(path, quality=3)
    assert path.read_bytes() == codec.compress(images[0], 3)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size, image.n_frames) == ("FMAE", "L", (28, 28), 1)
        np.testing.assert_array_equal(image, codec.decompress(path.read_bytes()))


@pytest.mark.parametrize("options", [{}, {"quality": 8}, {"effort": 1}, {"max_bytes": 40}, {"min_psnr": 22}])
def test_the_options_are_those_of_the_codec(options, images, codec):
    assert saved(Image.fromarray(images[3]), **options) == codec.compress(images[3], **options)


def test_a_stack_is_frames(images, codec):
    frames = [Image.fromarray(image) for image in images[:5]]
    content = saved(frames[0], save_all=True, append_images=frames[1:], quality=7)
    assert content == codec.compress_batch(images[:5], 7)
    expected = codec.decompress(content)
    stack = opened(content)
    assert (stack.n_frames, stack.is_animated, stack.tell()) == (5, True, 0)
    np.testing.assert_array_equal([np.asarray(frame) for frame in ImageSequence.Iterator(stack)], expected)
    for frame in (4, 1):
        stack.seek(frame)
        assert stack.tell() == frame
        np.testing.assert_array_equal(stack, expected[frame])
    with pytest.raises(EOFError):
        stack.seek(5)
    assert opened(saved(stack, save_all=True)).n_frames == 5
    assert stack.tell() == 1  # as before
    assert saved(frames[0], save_all=True) == codec.compress(images[0])
    for other in (frames[1].resize((30, 28)), frames[1].convert("RGB")):
        with pytest.raises(
            InputError, match=r"the stack has .* and \(\(28, 28\), 'L'\); resize or convert the images"
        ):
            saved(frames[0], save_all=True, append_images=[frames[2], other])


def test_own_bundles_are_registered(rgb_bundle, rgb_images):
    content = Codec(rgb_bundle).compress(rgb_images[0])
    with pytest.raises(
        InputError, match=r"bundle \w{4}\.\.\. is not registered: pass it to fmae_edge.pillow.register_bundle"
    ):
        opened(content)
    with pytest.raises(InputError, match=r"size \(20, 26\) in mode RGB"):
        saved(Image.fromarray(rgb_images[0]))
    register_bundle(rgb_bundle)
    image = opened(content)
    assert (image.mode, image.size) == ("RGB", (20, 26))
    np.testing.assert_array_equal(image, Codec(rgb_bundle).decompress(content))
    assert saved(Image.fromarray(rgb_images[0])) == content
    with pytest.raises(BundleError, match="no such bundle"):
        register_bundle("nothing")


def test_files_of_all_built_in_bundles_are_opened_and_the_one_registered_last_saves(images):
    detail, default = (Codec(name).compress(images[0]) for name in ("detail", "default"))
    assert np.asarray(opened(detail)).shape == np.asarray(opened(default)).shape == (28, 28)
    assert saved(Image.fromarray(images[0])) == default
    register_bundle("detail")
    assert saved(Image.fromarray(images[0])) == detail


def test_bundles_whose_ids_begin_alike_are_told_apart(monkeypatch, rgb_bundle, images, codec):
    content = codec.compress(images[0])
    start = codec.manifest.bundle_id[:4]
    monkeypatch.setattr(fmae_edge.pillow, "_built_in", lambda: {f"{start}00": Codec(rgb_bundle), start: codec})
    np.testing.assert_array_equal(opened(content), codec.decompress(content))


def test_opening_reads_the_beginning_only(images, codec):
    content = codec.compress(images[0])
    damaged = opened(content[:-1] + bytes([content[-1] ^ 1]))
    for use in (damaged.load, lambda: damaged.n_frames, lambda: damaged.seek(1)):
        with pytest.raises(InputError, match="check code does not match"):
            use()


def test_files_that_are_not_opened(tmp_path, images, codec):
    content = codec.compress(images[0])
    with pytest.raises(UnidentifiedImageError):
        opened(b"PNG" + content)
    with pytest.raises(InputError, match="truncated within its header"):
        opened(content[:5])
    with pytest.raises(InputError, match="version 9"):
        opened(bytes([content[0], content[1] & 0xF0 | 9]) + content[2:])
    path = tmp_path / "a.fmae"
    path.write_bytes(content)
    image = Image.open(path)
    image.close()
    with pytest.raises(InputError, match="closed"):
        image.load()


def test_a_failed_save_leaves_no_file(tmp_path, images):
    for image, options in (
        (Image.fromarray(images[0]).convert("RGBA"), {}),
        (Image.new("L", (10, 10)), {}),
        (Image.fromarray(images[0]), {"quality": 75}),
    ):
        with pytest.raises(InputError, match="no registered bundle|quality is 75"):
            image.save(tmp_path / "a.fmae", **options)
    assert list(tmp_path.iterdir()) == []


def test_images_are_copied_pickled_and_compared(images, codec):
    image = opened(codec.compress(images[0]))
    for same in (image.copy(), pickle.loads(pickle.dumps(image)), image.resize((28, 28))):
        np.testing.assert_array_equal(same, image)
    assert opened(codec.compress(images[0])).convert("RGB").mode == "RGB"


def test_pillow_knows_the_format_after_the_import_which_starts_nothing():
    code = "from PIL import Image; Image.init(); print('FMAE' in Image.OPEN, '.fmae' in Image.EXTENSION)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    code = "import sys, fmae_edge.pillow; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_example_on_the_page_runs(tmp_path, monkeypatch, capsys):
    (program,) = re.findall("```python\n(.*?)```", (REPOSITORY / "docs/pillow.md").read_text(), flags=re.S)
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    assert capsys.readouterr().out == "0 (28, 28) L\n1 (28, 28) L\n"
