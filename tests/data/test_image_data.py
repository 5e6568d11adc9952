"""Each image of a person is in one part, as `compress` would read it, and a later run finds the images again."""

import json
import zlib
from multiprocessing import active_children

import numpy as np
import pytest
from PIL import Image

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_data import find_image_data, name_of_data
from fmae_edge.data.image_file import load_image
from fmae_edge.runtime.errors import ArgumentError
from fuzz.image_parts import png, png_chunk
from tests.data.image_folders import all_images, load, pictures, recipe_of, write_folder
from tests.installed_data import needs_data


@pytest.mark.parametrize("shape", [(16, 12), (16, 12, 3)])
@pytest.mark.parametrize("kind", ["folder", "list", "npy", "npz"])
def test_every_image_is_read_and_is_in_one_part(tmp_path, shape, kind):
    images = pictures(300, shape)
    given = write_folder(tmp_path / "photos", images)
    if kind == "list":
        paths = [str(path.relative_to(tmp_path)) for path in sorted(given.rglob("*.png"))]
        given = tmp_path / "list.txt"
        given.write_text("\n".join(paths) + "\n\n")
    elif kind != "folder":
        given = tmp_path / f"photos.{kind}"
        np.save(given, images) if kind == "npy" else np.savez_compressed(given, x=images, labels=np.arange(300))
    found = load(given)
    assert all_images(found) == {image.tobytes() for image in images}
    assert len(found.train) + len(found.validation) + len(found.held_out) == 300
    assert found.train.shape[1:] == shape
    assert found.train.flags.writeable  # PyTorch warns about others
    assert found.record["name"] == given.stem
    assert found.record["settings"] == {
        "size": [16, 12],
        "channels": 3 if len(shape) == 3 else 1,
        "fit": None,
        "holdout": 0.1,
    }
    assert str(tmp_path) not in json.dumps(found.record)


def test_the_record_has_the_name_of_the_inputs(tmp_path):
    folder = write_folder(tmp_path / "letters" / "train", pictures(300))
    assert load(folder).record["name"] == name_of_data([folder]) == "letters-train"
    arrays = [tmp_path / f"{letter}.npy" for letter in "abcdef"]
    assert name_of_data(arrays[:3]) == "a+b+c"
    assert name_of_data(arrays) == "a+b+c+3-more"
    (tmp_path / "link").symlink_to(folder)
    assert name_of_data([tmp_path / "link"]) == "link"


def test_the_parts_do_not_depend_on_names_folders_or_the_kind_of_input(tmp_path):
    images = pictures(300)
    np.save(tmp_path / "x.npy", images[::-1])
    from_files, from_array = load(write_folder(tmp_path / "photos", images)), load(tmp_path / "x.npy")
    assert from_files.sha256 == from_array.sha256


def test_files_and_arrays_and_several_folders_are_one_set(tmp_path):
    images = pictures(300)
    np.save(tmp_path / "x.npy", images[:100])
    folders = [write_folder(tmp_path / str(at), images[at : at + 100]) for at in (100, 200)]
    assert all_images(load(tmp_path / "x.npy", *folders)) == {image.tobytes() for image in images}


def test_images_are_read_in_several_processes_as_in_one(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "photos", pictures(600, (16, 12, 3)))
    alone = load(folder)
    monkeypatch.setattr("fmae_edge.data.image_chunks._IMAGES", 20)  # so there are enough parts
    monkeypatch.setattr("fmae_edge.data.image_processes.available_cpus", lambda: 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    running = set()
    together = load(folder, on_progress=lambda *_: running.update(each.pid for each in active_children()))
    assert together.sha256 == alone.sha256
    assert len(running) == 2


def test_adding_and_renaming_files_moves_no_image_between_the_sides(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(300))
    before = {image.tobytes() for image in load(folder).held_out}
    folder.rename(tmp_path / "renamed")
    write_folder(tmp_path / "renamed" / "new", pictures(200, seed=1))
    later = load(tmp_path / "renamed")
    assert before <= {image.tobytes() for image in later.held_out}


def test_a_second_run_reads_no_image_again(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "photos", pictures(300))
    first = load(folder)
    monkeypatch.setattr("fmae_edge.data.image_chunks.load_image", None)
    second = load(folder)
    assert (second.sha256, second.record, second.notes) == (first.sha256, first.record, first.notes)


def test_a_changed_file_is_read_again(tmp_path):
    images = pictures(301)
    folder = write_folder(tmp_path / "photos", images[:300])
    first = load(folder)
    Image.fromarray(images[300]).save(folder / "part0" / "0000.png")
    second = load(folder)
    assert second.sha256 != first.sha256
    assert images[300].tobytes() in all_images(second)
    assert images[0].tobytes() not in all_images(second)


def test_images_with_colours_make_the_set_rgb_even_if_the_sample_has_none(tmp_path):
    gray, colored = pictures(400), pictures(1, (16, 12, 3))
    folder = write_folder(tmp_path / "photos", gray)
    Image.fromarray(colored[0]).save(folder / "part1" / "0001.png")
    found = load(folder)
    assert found.train.shape[1:] == (16, 12, 3)
    assert colored[0].tobytes() in all_images(found)
    assert found.record["found"]["converted_to_rgb"] == 399
    assert load(folder, channels=1).train.shape[1:] == (16, 12)


def test_rgb_files_without_colours_are_gray(tmp_path):
    images = pictures(300)
    found = load(write_folder(tmp_path / "photos", np.repeat(images[..., None], 3, axis=3)))
    assert all_images(found) == {image.tobytes() for image in images}


def test_mixed_sizes_are_refused_with_their_counts_and_what_to_do(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(250))
    write_folder(tmp_path / "photos" / "large", pictures(40, (30, 20)))
    counts = "2 sizes.*: 250 of 16x12, 40 of 30x20"
    with pytest.raises(DataError, match=f"{counts}; --fit resize, crop or pad.*exact.*--size"):
        load(folder)
    with pytest.raises(DataError, match=f"{counts}.*changes them to 30x20"):
        load(folder, size=(30, 20))


@pytest.mark.parametrize(("fit", "kind"), [("resize", "resized"), ("crop", "cropped"), ("pad", "padded")])
@pytest.mark.parametrize("kind_of_input", ["folder", "npy"])
def test_other_sizes_are_changed_as_compress_does_and_counted(tmp_path, fit, kind, kind_of_input):
    given = write_folder(tmp_path / "photos", pictures(250))
    others = pictures(40, (30, 20), seed=1)
    extra = write_folder(tmp_path / "large", others)
    expected = {load_image(path.read_bytes(), "", (16, 12), 1, fit)[0].tobytes() for path in extra.rglob("*.png")}
    if kind_of_input == "npy":
        extra = tmp_path / "large.npy"
        np.save(extra, others)
    found = load(given, extra, fit=fit)
    assert found.record["found"][kind] == 40
    assert expected <= all_images(found)
    assert any("40 images of other sizes were" in note and "40 of 30x20" in note for note in found.notes)


def test_exact_leaves_other_sizes_out_and_counts_them(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(250))
    write_folder(tmp_path / "photos" / "large", pictures(40, (30, 20)))
    found = load(folder, fit="exact")
    assert found.record["found"]["left_out"] == 40
    assert len(all_images(found)) == 250


def test_the_commonest_size_is_that_of_all_images_not_of_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr("fmae_edge.data.image_reader._SAMPLE", 1)
    folder = write_folder(tmp_path / "a", pictures(10, (30, 20)))
    found = load(folder, write_folder(tmp_path / "b", pictures(250)), fit="exact")
    assert found.record["settings"]["size"] == [16, 12]


@pytest.mark.parametrize("size", [(300, 200), (7, 9)])
def test_images_that_no_model_is_for_are_refused(tmp_path, size):
    folder = write_folder(tmp_path / "photos", pictures(3, size))
    with pytest.raises(
        DataError, match=f"{size[0]}x{size[1]}.*8 to 256 pixels per side; choose a size.*--size.*--fit"
    ):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (7, 9)}, "size is '7x9'; height and width must be 8 to 256"),
        ({"size": (257, 9)}, "size"),
        ({"channels": 2}, "channels is 2"),
        ({"fit": "stretch"}, "fit is 'stretch'; expected one of exact, resize, crop, pad"),
        ({"holdout": 1.0}, "holdout is 1.0"),
        ({"holdout": 0.0}, "holdout is 0.0"),
    ],
)
def test_invalid_settings(settings, message):
    with pytest.raises(ArgumentError, match=message):
        load("x", **settings)


def test_conversions_are_counted_and_said(tmp_path):
    images = pictures(300)
    folder = write_folder(tmp_path / "photos", images)
    hidden = np.dstack([images[0], np.full_like(images[0], 128)])
    Image.fromarray(hidden, "LA").save(folder / "alpha.png")
    Image.fromarray(images[1].astype(np.uint16) * 257 // 2).save(folder / "deep.png")
    first, second = (Image.fromarray(each) for each in pictures(2, seed=5))
    first.save(folder / "moves.gif", save_all=True, append_images=[second])
    found = load(folder)
    counts = found.record["found"]
    assert (counts["composited"], counts["reduced_to_8_bits"], counts["animated"]) == (1, 1, 1)
    assert (counts["files"], len(all_images(found))) == (303, 303)
    text = "\n".join(found.notes)
    assert "1 images have transparent parts, which were made black" in text
    assert "several frames, of which the first is used" in text


def test_images_turned_by_their_exif_are_counted_and_said(tmp_path):
    images = pictures(300)
    folder = write_folder(tmp_path / "photos", images)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = pictures(1, seed=5)[0]
    Image.fromarray(turned[::-1, ::-1]).save(folder / "turned.png", exif=exif)
    found = load(folder)
    assert found.record["found"]["rotated"] == 1
    assert turned.tobytes() in all_images(found)
    assert "1 images were turned upright as their EXIF says" in found.notes


def test_a_few_unreadable_files_are_named_counted_and_left_out(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(300))
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "nowhere.png").symlink_to("missing")
    found = load(folder)
    assert found.record["found"]["unreadable"] == 2
    assert any("2 images cannot be read" in note and "broken.png" in note for note in found.notes)


def test_an_image_larger_than_memory_is_left_out_by_its_header(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(300))
    bomb = png(png_chunk(b"IDAT", zlib.compress(b"\0\0")), size=(60_000, 60_000))
    (folder / "bomb.png").write_bytes(bomb)
    found = load(folder, fit="crop")
    assert found.record["found"]["unreadable"] == 1
    assert any("bomb.png" in note and "too large to resize" in note for note in found.notes)


def test_a_damaged_run_cannot_name_files_of_the_cache(tmp_path):
    found = load(write_folder(tmp_path / "photos", pictures(300)))
    recipe = recipe_of(found)
    recipe["train_images"]["sha256"] = "../" * 5
    with pytest.raises(DataError, match="no longer in the cache"):
        find_image_data(recipe)


def test_more_than_one_per_cent_unreadable_stops_unless_it_is_allowed(tmp_path):
    folder = write_folder(tmp_path / "photos", pictures(300))
    for number in range(10):
        (folder / f"broken{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"of 310 images cannot be read: .*broken.\.png.*--allow-unreadable"):
        load(folder)
    assert len(all_images(load(folder, allow_unreadable=True))) == 300
    with pytest.raises(DataError, match="10 or more of 310"):  # although they are in the cache now
        load(folder)


def test_too_few_different_images_are_refused(tmp_path):
    folder = write_folder(tmp_path / "photos", np.repeat(pictures(199), 2, axis=0))
    with pytest.raises(DataError, match="found 199 different images.*at least 200.*5,000"):
        load(folder)


def test_fewer_than_5000_training_images_give_a_warning(tmp_path):
    found = load(write_folder(tmp_path / "photos", pictures(300)))
    assert any(note.startswith(f"warning: only {len(found.train)} images to train on") for note in found.notes)


def test_images_of_paths_of_their_own_are_held_out_without_copies_in_the_training(tmp_path):
    images = pictures(400)
    folder = write_folder(tmp_path / "photos", images[:350])
    held_out = write_folder(tmp_path / "held", images[300:])
    found = load(folder, holdout_paths=[held_out])
    assert {image.tobytes() for image in found.held_out} == {image.tobytes() for image in images[300:]}
    assert found.record["found"]["duplicates"] == 50
    assert found.record["settings"]["holdout"] is None
    again = find_image_data(recipe_of(found), [folder, held_out])
    assert again.sha256 == found.sha256


def test_near_duplicates_of_held_out_images_are_dropped_and_said(tmp_path):
    images = pictures(400)
    first = load(write_folder(tmp_path / "photos", images))
    near = np.clip(first.held_out.astype(int) + 1, 0, 255).astype(np.uint8)
    write_folder(tmp_path / "photos" / "near", near)
    found = load(tmp_path / "photos")
    held_out = {image.tobytes() for image in found.held_out}
    copies = {image.tobytes() for image in near} - held_out
    assert len(copies) > 10
    assert not copies & {image.tobytes() for image in (*found.train, *found.validation)}
    assert found.record["found"]["near_duplicates"] >= len(copies)
    assert any("nearly equal a held-out one" in note for note in found.notes)


def test_a_later_run_finds_the_images_in_the_cache_or_reads_them_again(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "photos", pictures(300))
    found = load(folder)
    recipe = json.loads(json.dumps(recipe_of(found)))
    np.testing.assert_array_equal(find_image_data(recipe).train, found.train)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"\(photos\) are no longer in the cache; name .* --data"):
        find_image_data(recipe)
    np.testing.assert_array_equal(find_image_data(recipe, [folder]).held_out, found.held_out)


def test_a_data_set_that_has_changed_since_training_is_refused(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "photos", pictures(300))
    recipe = recipe_of(load(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    write_folder(folder / "new", pictures(50, seed=1))
    with pytest.raises(
        DataError, match="the data set has changed since training: train had .* images .* now .*--data"
    ):
        find_image_data(recipe, [folder])


@pytest.mark.parametrize("record", [{}, {"name": "x", "settings": {}}, {"name": "x", "settings": None}, "x"])
def test_an_invalid_record_of_the_data_is_one_error(record):
    with pytest.raises(DataError, match="no valid record of its data"):
        find_image_data({"data": record})


@needs_data
def test_fashion_mnist_is_the_default_and_stays_as_it_is(fashion_mnist):
    found = load()
    np.testing.assert_array_equal(found.train, fashion_mnist.train)
    np.testing.assert_array_equal(found.held_out, fashion_mnist.test)
    assert len(found.validation) == 0
    assert found.sha256["train"] == "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"
    for recipe in (recipe_of(found), {}, {"data": None, "train_images": None}):
        np.testing.assert_array_equal(find_image_data(recipe).held_out, fashion_mnist.test)
    with pytest.raises(DataError, match="--data must name one folder"):
        find_image_data({}, ["a", "b"])


@pytest.mark.slow
@needs_data
def test_fashion_mnist_in_another_size_keeps_its_own_test_images():
    found = load("fashion-mnist", size=(8, 8), fit="resize")
    assert found.held_out.shape[1:] == (8, 8)
    assert len(found.held_out) > 9900
    assert len(found.validation) == 2000
    assert found.record["settings"]["holdout"] is None
    assert find_image_data(recipe_of(found)).sha256 == found.sha256
