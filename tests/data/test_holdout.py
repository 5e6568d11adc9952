"""Held-out images: the same ones whatever the order and number of files, and no near copy of them in training."""

import hashlib

import numpy as np
import pytest

from fmae_edge.data.holdout import NEAR_ERROR, NEAR_SHARE, near_duplicates, split


def hashes_of(images):
    return np.array(
        [int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big") for image in images], np.uint64
    )


def split_of(images, share=0.1):
    return split(images, hashes_of(images), np.arange(len(images)), share)


def pictures(count, shape=(20, 28), seed=0):
    """Random smooth images that differ from each other as photos do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, *shape[2:]), np.uint8)
    rows, columns = (np.linspace(0, 3.999, side).astype(int) for side in shape[:2])
    return coarse[:, rows][:, :, columns]


@pytest.mark.parametrize("shape", [(20, 28), (8, 8), (33, 17, 3)])
def test_every_image_is_in_one_part_and_the_parts_have_the_asked_sizes(shape):
    images = pictures(3000, shape)
    found = split_of(images, 0.2)
    assert found.duplicates == found.near_duplicates == 0
    assert sorted([*found.train, *found.validation, *found.held_out]) == list(range(len(images)))
    assert 500 < len(found.held_out) < 700
    assert len(found.validation) == (3000 - len(found.held_out)) // 20


def test_adding_removing_and_reordering_images_moves_no_image_to_the_other_part():
    images = pictures(2000)
    held_out = {images[index].tobytes() for index in split_of(images).held_out}
    changed = np.concatenate([pictures(500, seed=1), images[::-1][:1500]])
    later = split_of(changed)
    kept = {each.tobytes() for each in images[500:]}
    assert {changed[index].tobytes() for index in later.held_out} & kept == held_out & kept


def test_the_order_of_a_part_follows_from_its_content():
    images = pictures(600)
    forward, backward = split_of(images), split_of(images[::-1])
    np.testing.assert_array_equal(images[forward.train], images[::-1][backward.train])


def test_exact_duplicates_are_dropped():
    images = pictures(300)
    found = split_of(np.concatenate([images, images[:40]]))
    assert found.duplicates == 40
    assert len(found.train) + len(found.validation) + len(found.held_out) == 300


def test_unreadable_images_are_in_no_part():
    images = pictures(300)
    found = split(images, hashes_of(images), np.arange(10, 300), 0.1)
    assert set(found.train) | set(found.validation) | set(found.held_out) == set(range(10, 300))


def test_validation_images_are_the_next_hashes_after_the_held_out_ones():
    images = pictures(1000)
    hashes, found = hashes_of(images), split_of(images)
    assert hashes[found.held_out].max() < hashes[found.validation].min()
    assert hashes[found.validation].max() < hashes[found.train].min()


def test_validation_has_an_upper_limit(monkeypatch):
    monkeypatch.setattr("fmae_edge.data.holdout._MOST_VALIDATION", 7)
    assert len(split_of(pictures(600)).validation) == 7


def test_chosen_images_are_held_out_and_their_copies_are_not_trained_on():
    images = pictures(400)
    images[300:310] = images[:10]
    chosen = np.arange(400) >= 300
    found = split(images, hashes_of(images), np.arange(400), chosen)
    held_out = {images[index].tobytes() for index in found.held_out}
    assert held_out == {image.tobytes() for image in images[300:]}
    assert not held_out & {images[index].tobytes() for index in (*found.train, *found.validation)}
    assert found.duplicates == 10


@pytest.mark.parametrize(("shape", "at_once"), [((20, 28), 2048), ((64, 48, 3), 2048), ((20, 28), 35)])
def test_near_duplicates_of_held_out_images_are_found_and_others_are_not(shape, at_once, monkeypatch):
    """Against the definition, computed for all pairs."""
    monkeypatch.setattr("fmae_edge.data.holdout._IMAGES_AT_ONCE", at_once)
    monkeypatch.setattr("fmae_edge.data.holdout._HELD_AT_ONCE", at_once)
    images = pictures(400, shape)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, images[:200].shape) * rng.choice([1, 4, 9, 30], (200, *[1] * len(shape)))
    images[200:] = np.clip(np.rint(images[:200] + noise), 0, 255)
    held_out, train = np.arange(100), np.arange(100, 400)
    reals = images.reshape(400, -1).astype(np.float64)
    norms = np.square(reals).sum(axis=1)  # |a - b|^2 = |a|^2 - 2ab + |b|^2, exact for integers
    products = reals[train] @ reals[held_out].T
    errors = (norms[train, None] - 2 * products + norms[held_out]) / reals.shape[1]
    limits = np.maximum(NEAR_SHARE * reals[held_out].var(axis=1), NEAR_ERROR)
    expected = (errors <= limits).any(axis=1)
    assert 20 < expected.sum() < 90
    np.testing.assert_array_equal(near_duplicates(images, train, held_out), expected)


@pytest.mark.parametrize(
    ("levels", "difference", "most"),
    [((0, 200), 10, 100), ((100, 100), 3, 72)],  # 1 % of a variance of 10,000, and 40 dB
)
def test_near_is_one_per_cent_of_the_variance_or_40_db(levels, difference, most):
    held_out = np.repeat(np.array(levels, np.uint8), 50).reshape(1, 10, 10)
    near = held_out.copy()
    near.flat[:most] += difference
    farther = near.copy()
    farther.flat[min(most, 99)] += 1 if most == 100 else difference
    found = near_duplicates(np.concatenate([held_out, near, farther]), np.array([1, 2]), np.array([0]))
    assert found.tolist() == [True, False]


def test_near_duplicates_are_neither_trained_on_nor_validated_with():
    images = pictures(600)
    near = np.clip(images.astype(int) + 1, 0, 255).astype(np.uint8)
    found = split(np.concatenate([images, near]), hashes_of(np.concatenate([images, near])), np.arange(1200), 0.1)
    dropped = {index % 600 for index in found.held_out}
    kept = {index % 600 for index in (*found.train, *found.validation)}
    assert found.near_duplicates > 50
    assert not dropped & kept
