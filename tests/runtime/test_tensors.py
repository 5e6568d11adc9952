"""Tensors of PyTorch are accepted like arrays. Each test is skipped where PyTorch is not installed."""

import numpy as np
import pytest

from fmae_edge import Codec, InputError

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def codec():
    return Codec()


def test_tensors_of_any_kind_are_accepted(codec, images):
    real = torch.from_numpy(images[:4] / 255)
    halves = real.to(torch.bfloat16)
    expected = codec.encode(real.numpy())
    for same in (real.requires_grad_(), real * 1, list(real), [real[:1], real[1:2], real[2:3], real[3:4]]):
        np.testing.assert_array_equal(codec.encode(same), expected)
    rounded = codec.encode(halves.float().numpy())
    for same in (halves, halves.clone().requires_grad_(), list(halves), tuple(halves)):
        np.testing.assert_array_equal(codec.encode(same), rounded)
        assert codec.compress_batch(same) == codec.compress_batch(halves.float().numpy())
    assert list(codec.compress_iter(halves)) == [codec.compress(image.float().numpy()) for image in halves]
    many = list(halves) * 300
    np.testing.assert_array_equal(codec.encode(many)[-4:], rounded)
    latents = torch.from_numpy(expected).requires_grad_()
    np.testing.assert_array_equal(codec.decode(latents), codec.decode(expected))
    np.testing.assert_array_equal(codec.decode(list(latents)), codec.decode(expected))
    coarse = latents.to(torch.bfloat16)
    np.testing.assert_array_equal(codec.decode(coarse), codec.decode(coarse.detach().float().numpy()))


def test_a_tensor_is_one_image_and_one_latent(codec, images):
    """torchvision's ToTensor returns (1, 28, 28)."""
    content, latent = codec.compress(images[0]), codec.encode(images[0])
    for one in (images[0].copy(), images[0] / 255, images[:1] / 255):
        assert codec.compress(torch.from_numpy(one)) == content
        assert list(codec.compress_iter([torch.from_numpy(one)] * 2)) == [content, content]
    np.testing.assert_array_equal(codec.encode(torch.from_numpy(images[0] / 255)), latent)
    np.testing.assert_array_equal(codec.decode(torch.from_numpy(latent)), codec.decode(latent))


def test_tensors_of_another_kind_are_refused(codec):
    with pytest.raises(InputError, match="int64"):
        codec.compress(torch.zeros(28, 28, dtype=torch.int64))
    mask, real = torch.ones(28, 28, dtype=torch.uint8), np.zeros((28, 28))
    with pytest.raises(InputError, match="images have dtypes float64 and uint8; expected one for all"):
        codec.encode([mask, real])
