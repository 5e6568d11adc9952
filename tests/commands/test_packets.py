"""compress --packet and decompress of packets."""

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.packet_writer import ImagesTooLargeError
from tests.commands.results import found, pixels, records, summary

CODEC = Codec()


@pytest.fixture
def photos(tmp_path, images):
    (tmp_path / "in").mkdir()
    for index in range(20):
        (tmp_path / "in" / f"{index:02d}.png").write_bytes(png_bytes(images[index]))
    return tmp_path


@pytest.fixture
def packets(photos, cli):
    """A folder of packets of the photos."""
    done = cli("compress", "in/*.png", "--packet", "60", "--quality", "2", "-o", "out/")
    assert done.returncode == 0
    return photos / "out"


def test_packets_are_written_and_counted(photos, cli, images):
    done = cli("compress", "in/*.png", "--packet", "60", "--quality", "2", "-o", "out/")
    assert done.returncode == 0
    expected = CODEC.packets.compress(images[:20], 60, 2)
    files = sorted((photos / "out").iterdir())
    assert [file.read_bytes() for file in files] == expected
    assert [file.name for file in files[:2]] == ["packet-0000.fmpk", "packet-0001.fmpk"]
    assert done.stdout.splitlines()[0] == "in/00.png -> out/packet-0000.fmpk[0]"
    size = sum(map(len, expected))
    counts = [len(CODEC.packets.parse(packet).numbers) for packet in expected]
    each = f"{20 / len(files):.2f} images per packet, from {min(counts)} to {max(counts)}"
    assert f"20 images in {len(files)} packets, {size} bytes in all: {each}\n" in done.stderr


def test_packets_are_filled(photos, cli, images):
    assert cli("compress", "in/*.png", "--packet", "60", "--quality", "1", "--fill", "-o", "out").returncode == 0
    files = sorted((photos / "out").iterdir())
    assert [file.read_bytes() for file in files] == CODEC.packets.compress(images[:20], 60, 1, fill=True)


def test_the_images_come_back_numbered(packets, cli, images):
    done = cli("decompress", "out/*.fmpk", "-o", "back/")
    assert done.returncode == 0
    assert found(packets.parent / "back") == [f"image-{number:04d}.png" for number in range(20)]
    decoded = CODEC.decompress(CODEC.compress_batch(images[:20], 2))
    for number in range(20):
        image = pixels(packets.parent / "back" / f"image-{number:04d}.png")
        assert np.abs(image.astype(int) - decoded[number]).max() <= 1
    count = len(list(packets.iterdir()))
    assert f"20 of 20 images from {count} packets, none missing\n" in done.stderr


def test_missing_damaged_and_repeated_packets(packets, cli):
    files = sorted(packets.iterdir())
    lost = CODEC.packets.parse(files[1].read_bytes()).numbers
    bad = CODEC.packets.parse(files[3].read_bytes()).numbers
    files[3].write_bytes(files[3].read_bytes()[:-1])
    files[1].unlink()
    (packets / "copy.fmpk").write_bytes(files[0].read_bytes())
    done = cli("decompress", "-r", "out", "-o", "back/")
    assert done.returncode == 1
    assert "fmae-edge: out/packet-0003.fmpk: its check code does not match: it is damaged" in done.stderr
    assert f"missing: {lost[0]} to {lost[-1]}, {bad[0]} to {bad[-1]}\n" in done.stderr
    left = sorted({*range(20)} - {*lost, *bad})
    assert found(packets.parent / "back") == [f"image-{number:04d}.png" for number in left]
    assert f"{len(files) - 2} done, 1 skipped, 1 failed" in done.stderr


def test_a_packet_that_is_named_twice_is_skipped_once(packets, cli):
    first = CODEC.packets.parse((packets / "packet-0000.fmpk").read_bytes())
    done = cli("decompress", "out/packet-0000.fmpk", "out/packet-0000.fmpk", "-o", "back/")
    assert done.returncode == 0, done.stderr
    assert found(packets.parent / "back") == [f"image-{number:04d}.png" for number in first.numbers]
    assert f"{len(first.numbers)} images from 2 packets" in done.stderr
    assert "1 done, 1 skipped, 0 failed" in done.stderr


def test_missing_images_are_not_a_failure(packets, cli):
    last = sorted(packets.iterdir())[-1]
    first = CODEC.packets.parse(last.read_bytes()).first
    last.unlink()
    done = cli("decompress", "out/*.fmpk", "-o", "back/")
    assert done.returncode == 0
    said = f"the last packet of the set is not here, so there may be images after {first - 1}\n"
    assert f"{first} images from {len(list(packets.iterdir()))} packets; {said}" in done.stderr
    done = cli("decompress", "out/*.fmpk", "-o", "again/", "--json")
    facts = summary(done)
    assert (facts["images"], facts["missing"], facts["total"]) == (first, [], None)


def test_packets_of_another_set_fail_and_the_others_go_on(packets, cli):
    assert cli("compress", "in/1*.png", "--packet", "60", "--quality", "2", "-o", "other").returncode == 0
    done = cli("decompress", "out/*.fmpk", "other/*.fmpk", "-o", "back", "--json")
    assert done.returncode == 1
    failures = [record for record in records(done) if record["status"] == "failed"]
    assert {record["input"] for record in failures} == {
        f"other/{name}" for name in found(packets.parent / "other")
    }
    assert all("is of another set than the packets before it" in record["error"] for record in failures)
    assert len(found(packets.parent / "back")) == 20


def test_images_that_do_not_fit_fail_alone(photos, cli, images):
    limit = max(len(CODEC.packets.compress(image, 1000, 2)[0]) for image in images[:20]) - 2
    with pytest.raises(ImagesTooLargeError) as refused:
        CODEC.packets.compress(images[:20], limit, 2)
    bad = sorted(refused.value.errors)
    arguments = ("compress", "in/*.png", "--packet", str(limit), "--quality", "2", "-o", "out")
    done = cli(*arguments)
    assert done.returncode == 1
    for number in bad:
        assert f"in/{number:02d}.png: --packet is {limit}, but the image takes " in done.stderr
    assert f"out: not written, because {len(bad)} of its 20 inputs failed; --keep-going writes the" in done.stderr
    assert not (photos / "out").exists()
    done = cli(*arguments, "--keep-going")
    assert done.returncode == 1
    assert f"{20 - len(bad)} images in" in done.stderr
    done = cli("decompress", "-r", "out", "-o", "back", "--json")
    assert summary(done)["total"] == 20 - len(bad)


def test_packets_are_not_mixed_with_those_of_an_earlier_run(packets, cli):
    before = found(packets)
    done = cli("compress", "in/0[0-3].png", "--packet", "60", "-o", "out", "--force")
    assert done.returncode == 1
    assert "of another set; use another folder, or remove its packets" in done.stderr
    done = cli("compress", "in/*.png", "--packet", "60", "--quality", "2", "-o", "out")
    assert "packet-0000.fmpk: already exists; " in done.stderr
    assert cli("compress", "in/*.png", "--packet", "60", "--quality", "2", "-o", "out", "--force").returncode == 0
    assert found(packets) == before


def test_a_dry_run_writes_nothing(photos, cli):
    done = cli("compress", "in/*.png", "--packet", "60", "--quality", "2", "-o", "out", "--dry-run")
    assert done.returncode == 0
    assert not (photos / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--packet", "51"), "--packet needs a folder for the packets: -o FOLDER/"),
        (("--packet", "51", "-o", "x.fmae"), "--packet needs a folder for the packets: -o FOLDER/, got x.fmae"),
        (("--packet", "51", "-o", "-"), "--packet needs a folder for the packets: -o FOLDER/, got -"),
        (("--packet", "51", "-o", "{stem}"), "--packet needs a folder for the packets: -o FOLDER/, got {stem}"),
        (("--packet", "15", "-o", "out"), "--packet is '15'; expected an integer from 16 to 1024"),
        (("--packet", "51", "-o", "out", "--names"), "--names needs a .fmae file; packets contain no names"),
        (("--packet", "51", "-o", "out", "--dtype", "int8"), "--dtype is for .npy files; packets have a quality"),
        (
            ("--packet", "51", "-o", "out", "--fill", "--max-bytes", "9"),
            "--fill raises the quality of packets, but",
        ),
        (("--fill", "-o", "out"), "--fill is for packets; give the size of packets too"),
        (("--packet", "51", "-o", "out", "--skip-existing"), "--skip-existing is not for packets"),
        (("--packet", "51", "-o", "out", "--quality", "2", "--max-bytes", "9"), "--max-bytes chooses the quality"),
    ],
)
def test_wrong_usage_of_compress(photos, cli, arguments, message):
    done = cli("compress", "in/00.png", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fmae-edge: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--index", "3"), "--index is for files of several images, not for packets (.fmpk)"),
        (("-o", "all.npy"), "-o is all.npy; the images of packets need a folder or a pattern with {stem}"),
        (("-o", "-"), "-o is -; "),
    ],
)
def test_wrong_usage_of_decompress(packets, cli, arguments, message):
    done = cli("decompress", "out/packet-0000.fmpk", "out/packet-0001.fmpk", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fmae-edge: {message}")


def test_a_single_output_for_several_images_is_refused(packets, cli):
    done = cli("decompress", "out/packet-0000.fmpk", "-o", "x.png")
    assert done.returncode == 1
    assert "images, so the output (-o) must be a folder or contain {stem}" in done.stderr
