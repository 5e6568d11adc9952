"""compress_iter and decompress_iter are lazy, and give the same results as one call per image."""

import itertools

import numpy as np
import pytest

from fmae_edge import Codec, InputError

CODEC = Codec()


@pytest.mark.parametrize("options", [{}, {"quality": 2}, {"max_bytes": 30}, {"quality": 1, "effort": 1}])
def test_files_are_those_of_compress(images, options):
    some = images[:21]
    files = list(CODEC.compress_iter(iter(some), **options, batch_size=8))
    assert files == [CODEC.compress(image, **options) for image in some]


def test_images_of_all_kinds_may_follow_each_other(images):
    some = [images[0], images[1] / 255, (images[2] / 255).astype(np.float32), images[3].tolist(), images[4]]
    some[3] = np.array(some[3], np.uint8)
    assert list(CODEC.compress_iter(some)) == [CODEC.compress(image) for image in some]


def test_decompressed_images_are_those_of_decompress(images):
    contents = [
        CODEC.compress(images[0], 3),
        CODEC.compress_batch(images[:5], 3),
        CODEC.compress_batch(images[:0]),
        CODEC.compress(images[6], 8),
    ]
    expected = [CODEC.decompress(contents[0]), *CODEC.decompress(contents[1]), CODEC.decompress(contents[3])]
    found = list(CODEC.decompress_iter(iter(contents)))
    assert len(found) == 7
    for image, other in zip(found, expected, strict=True):
        assert np.abs(image.astype(int) - other).max() <= 1  # int8 graphs may round otherwise in a batch


def test_at_most_one_batch_is_taken_ahead(images):
    taken = itertools.count()
    endless = (images[next(taken) % 256] for _ in itertools.count())
    files = CODEC.compress_iter(endless, batch_size=5)
    assert next(taken) == 0
    for _ in range(6):
        next(files)
    assert next(taken) == 11  # two batches, and the two numbers taken by this test
    decoded = CODEC.decompress_iter(files, batch_size=1)
    assert next(decoded).shape == (28, 28)


def test_images_before_a_bad_one_are_coded_first(images):
    some = [*images[:3], images[3][:27], images[4]]
    files = CODEC.compress_iter(some)
    assert [next(files) for _ in range(3)] == [CODEC.compress(image) for image in images[:3]]
    with pytest.raises(InputError, match=r"^image 3: images have shape \(27, 28\)"):
        next(files)


def test_files_before_a_bad_one_are_decoded_first(images):
    contents = [CODEC.compress(images[0]), CODEC.compress(images[1])[:-1]]
    decoded = CODEC.decompress_iter(contents)
    assert next(decoded).shape == (28, 28)
    with pytest.raises(InputError, match=r"^file 1: truncated"):
        next(decoded)


def test_an_exception_of_the_caller_s_iterator_is_raised(images):
    def broken():
        yield images[0]
        raise OSError("the camera is gone")

    files = CODEC.compress_iter(broken())
    assert next(files) == CODEC.compress(images[0])
    with pytest.raises(OSError, match="the camera is gone"):
        next(files)


def test_bad_options_are_refused_at_the_call(images):
    for options in ({"quality": 10}, {"batch_size": 0}, {"batch_size": 2.5}, {"max_bytes": "7"}):
        with pytest.raises(InputError, match=next(iter(options))):
            CODEC.compress_iter(images, **options)
    with pytest.raises(InputError, match="batch_size"):
        CODEC.decompress_iter([], batch_size=-1)
    for wrong in (None, 5):
        with pytest.raises(InputError, match=f"images is {wrong}; expected an iterable"):
            CODEC.compress_iter(wrong)
        with pytest.raises(InputError, match=f"contents is {wrong}; expected an iterable"):
            CODEC.decompress_iter(wrong)


def test_the_bytes_of_a_file_are_not_a_list_of_files(images):
    with pytest.raises(InputError, match="file 0: expected the bytes of a .fmae file, got int"):
        list(CODEC.decompress_iter(CODEC.compress(images[0])))
