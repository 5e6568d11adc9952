"""--min-psnr guarantees a quality, --verify prints it, and otherwise a run warns of images of another kind."""

import json
import math

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.measure.quality import psnr_per_image
from tests.commands.results import pixels, records
from tests.manifest_changes import rewrite

CODEC = Codec(threads=1)
WARNING = "fmae-edge: warning: "


def test_images_reach_the_psnr_and_come_back(cli, pictures, images):
    names = ["c0", "c1", "n0"]
    done = cli("compress", *[f"{name}.png" for name in names], "--min-psnr", "24.5", "--verify")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[2] == f"n0.png -> n0.fmae  ({(pictures / 'n0.fmae').stat().st_size} bytes; every pixel as it was)"
    assert "every pixel as it was" in cli("info", "n0.fmae").stdout
    cli("decompress", *[f"{name}.fmae" for name in names], "-o", "back")
    for name, line in zip(names, lines, strict=True):
        before, after = pixels(pictures / f"{name}.png"), pixels(pictures / f"back/{name}.png")
        (psnr,) = psnr_per_image(before[None], after[None])
        assert psnr >= 24.5
        assert math.isinf(psnr) or f"PSNR {psnr:.2f} dB" in line
    np.testing.assert_array_equal(pixels(pictures / "back/n0.png"), pixels(pictures / "n0.png"))


def test_one_file_of_images_with_their_own_qualities(cli, pictures):
    done = cli(
        "compress", "c0.png", "n0.png", "c2.png", "-o", "all.fmae", "--names", "--min-psnr", "19", "--verify"
    )
    assert [line.split("  (")[0] for line in done.stdout.splitlines()] == [
        "c0.png -> all.fmae[0]",
        "n0.png -> all.fmae[1]",
        "c2.png -> all.fmae[2]",
    ]
    assert done.stdout.count("every pixel as it was") == 1
    info = cli("info", "all.fmae").stdout
    assert "quality   1 with every pixel as it was, 2 of quality 1\n" in info
    assert "version 3 of the .fmae format" in info
    assert json.loads(cli("info", "all.fmae", "--json").stdout)["qualities"] == [1, 0, 1]
    assert cli("decompress", "all.fmae", "-o", "back").returncode == 0
    np.testing.assert_array_equal(pixels(pictures / "back/n0.png"), pixels(pictures / "n0.png"))
    assert cli("decompress", "all.fmae", "--index", "1", "-o", "one.png").returncode == 0
    np.testing.assert_array_equal(pixels(pictures / "one.png"), pixels(pictures / "n0.png"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--min-psnr", "x"], "--min-psnr is 'x'; expected a number of dB above 0, or inf"),
        (["--min-psnr", "0"], "--min-psnr is '0'; expected"),
        (["--min-psnr", "-3"], "--min-psnr is '-3'; expected"),
        (["--min-psnr", "nan"], "--min-psnr is 'nan'; expected"),
        (["--min-psnr", "1e3"], "--min-psnr is '1e3'; expected"),
        (["--min-psnr", "9" * 99], "--min-psnr is '9999"),
        (["--min-psnr", "30", "--quality", "3"], "--min-psnr chooses the quality; use it or a quality, not both"),
        (["--min-psnr", "30", "--max-bytes", "3"], "--min-psnr chooses the quality; use it or a limit of bytes"),
        (["--min-psnr", "30", "-o", "x.npy"], "--min-psnr needs an output that ends in .fmae, got x.npy"),
    ],
)
def test_wrong_options_are_refused(cli, pictures, options, sentence):
    done = cli("compress", "c0.png", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fmae-edge: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["inf", "+99.5", "99.", "100"])
def test_a_high_psnr_stores_every_pixel(cli, pictures, value):
    assert cli("compress", "c0.png", "--min-psnr", value).returncode == 0
    assert CODEC.inspect((pictures / "c0.fmae").read_bytes()).quality == 0


@pytest.mark.parametrize(
    "output", [["-o", "{stem}.fmae"], ["-o", "{stem}.npy"], ["-o", "all.fmae"], ["-o", "all.npy"], ["--dry-run"]]
)
def test_verify_gives_the_psnr_of_each_image(cli, pictures, images, output):
    names = [f"c{number}.png" for number in range(40)]
    done = cli("compress", *names, "bad.png", *output, "--keep-going", "--verify", "--json")
    *found, failed = [record["psnr"] for record in records(done)]
    assert failed is None
    if ".fmae" in output[-1]:
        decoded = CODEC.decompress(CODEC.compress_batch(images[:40]))
    else:
        decoded = CODEC.decode(CODEC.encode(images[:40]))
    assert found == pytest.approx(psnr_per_image(images[:40], decoded), abs=0.01)
    assert "psnr" not in records(cli("compress", "c1.png", "-o", "x.fmae", "--json"))[0]


def test_every_pixel_as_it_was_is_null_in_json(cli, pictures):
    (record,) = records(cli("compress", "n0.png", "--min-psnr", "inf", "--verify", "--json"))
    assert (record["status"], record["psnr"]) == ("done", None)


@pytest.mark.parametrize(
    "output", [["-o", "{stem}.fmae"], ["-o", "{stem}.npy"], ["-o", "all.fmae"], ["-o", "all.npy"], ["--verify"]]
)
def test_images_of_another_kind_get_one_warning(cli, pictures, knows_clothing, output):
    done = cli("compress", "n*.png", "--bundle", "bundle", *output)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(WARNING)]
    assert "4 of the 4 images checked decode badly, such as n0.png with a PSNR of " in line
    assert "not of the kind that the bundle was trained on" in line
    done = cli("compress", "c*.png", "--bundle", "bundle", *output, "--force")
    assert WARNING not in done.stderr


def test_a_single_image_gets_a_warning_with_its_psnr(cli, pictures, knows_clothing):
    done = cli("compress", "n1.png", "-o", "n1.fmae", "--bundle", "bundle", "--json")
    psnr = psnr_per_image(
        pixels(pictures / "n1.png")[None], CODEC.decompress_batch((pictures / "n1.fmae").read_bytes())
    )
    assert f"{WARNING}n1.png decodes badly, with a PSNR of {psnr[0]:.1f} dB; such images" in done.stderr
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("options", [["--min-psnr", "5"], ["--quality", "5", "--quiet"]])
def test_no_warning_where_quality_is_guaranteed_or_silence_is_asked_for(cli, pictures, knows_clothing, options):
    done = cli("compress", "n*.png", "--bundle", "bundle", *options)
    assert WARNING not in done.stderr
    assert done.returncode == 0


def test_no_warning_where_the_bundle_does_not_know_its_images(cli, pictures, bundle):
    rewrite(bundle, lambda content: content["qualities"].pop("contrast_floors"))
    done = cli("compress", "n*.png", "--bundle", "bundle", "--quality", "5", "-o", "x/")
    assert WARNING not in done.stderr
    assert done.returncode == 0


def test_the_default_bundle_knows_its_images(cli, pictures):
    assert WARNING in cli("compress", "n*.png", "--quality", "5", "-o", "x/").stderr
    assert WARNING not in cli("compress", "c*.png", "--quality", "5", "-o", "x/").stderr


def test_one_odd_image_among_many_is_no_reason_to_warn(cli, pictures, knows_clothing):
    done = cli("compress", "n0.png", "c*.png", "-o", "x/", "--quality", "5", "--bundle", "bundle")
    assert WARNING not in done.stderr


def test_packets_are_verified_too(cli, pictures, images):
    done = cli("compress", "c?.png", "--packet", "51", "-o", "out/", "--verify", "--json")
    assert done.returncode == 0
    packets = [file.read_bytes() for file in sorted((pictures / "out").iterdir())]
    assert len(packets) > 1
    expected = psnr_per_image(images[:10], CODEC.packets.decompress(packets).images)
    assert [each["psnr"] for each in records(done)[:10]] == pytest.approx(expected)
    assert "(PSNR " in cli("compress", "c?.png", "--packet", "51", "-o", "again/", "--verify").stdout


def test_packets_of_images_of_another_kind_give_a_warning(cli, pictures, knows_clothing):
    options = ("--packet", "222", "--quality", "1", "--bundle", knows_clothing)
    assert WARNING not in cli("compress", "c?.png", "-o", "clothing/", *options).stderr
    warned = cli("compress", "n*.png", "-o", "noise/", *options).stderr
    assert warned.count(WARNING) == 1
    assert "--min-psnr guarantees one in a .fmae file\n" in warned  # packets refuse the option


def test_packets_hold_no_images_that_are_stored_exactly(cli, pictures):
    done = cli("compress", "c?.png", "--packet", "51", "--min-psnr", "30", "-o", "out/")
    assert (done.returncode, (pictures / "out").exists()) == (2, False)
    assert "--min-psnr needs .fmae files; packets contain no images that are stored exactly" in done.stderr
