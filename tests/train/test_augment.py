"""Augmented images are mirrored or moved ones; the same seed gives the same images."""

import pytest
import torch

from fmae_edge.train.augment import augment_batch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_mirrors_half_of_the_images(channels):
    pixels = torch.rand(400, channels, 9, 12)
    made = augment_batch(pixels, "flip", generator())
    mirrored = [torch.equal(new, old.flip(2)) for new, old in zip(made, pixels, strict=True)]
    same = [torch.equal(new, old) for new, old in zip(made, pixels, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 150 < sum(mirrored) < 250


def moved(image, down, right):
    """Return `image` (channels, height, width) moved, with its edge pixels repeated."""
    _, height, width = image.shape
    rows = [min(max(row - down, 0), height - 1) for row in range(height)]
    columns = [min(max(column - right, 0), width - 1) for column in range(width)]
    return image[:, rows][:, :, columns]


def test_shift_moves_by_up_to_a_sixteenth_in_each_direction():
    pixels = torch.rand(300, 3, 33, 48)
    made = augment_batch(pixels, "shift", generator())
    seen = set()
    for new, old in zip(made, pixels, strict=True):
        moves = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if torch.equal(new, moved(old, down, right))
        ]
        assert len(moves) == 1
        seen |= set(moves)
    assert {down for down, _ in seen} == set(range(-2, 3))
    assert {right for _, right in seen} == set(range(-3, 4))


@pytest.mark.parametrize("augment", ["flip", "shift"])
def test_a_seed_decides_the_changes(augment):
    pixels = torch.rand(50, 1, 32, 32)
    made = augment_batch(pixels, augment, generator(1))
    assert torch.equal(made, augment_batch(pixels, augment, generator(1)))
    assert not torch.equal(made, augment_batch(pixels, augment, generator(2)))


def test_none_and_images_too_small_to_move_stay_as_they_are():
    pixels = torch.rand(50, 1, 15, 15)
    assert augment_batch(pixels, "none", generator()) is pixels
    assert torch.equal(augment_batch(pixels, "shift", generator()), pixels)
