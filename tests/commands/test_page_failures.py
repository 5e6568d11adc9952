"""The page in headless Chromium says in a sentence what it cannot do, and shows nothing else in its place."""

import base64

import pytest
from selenium.webdriver.common.keys import Keys

from fmae_edge.data.image_file import png_bytes
from fmae_edge.page.site import build_site
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.errors import InputError
from tests.browser import needs_browser
from tests.page_in_browser import opened, served

pytestmark = needs_browser
# A drop of a folder, which a browser lists as a file that it cannot read, and of an image
_GIVE_UNREADABLE = """
const image = new File([Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt(0))], "image.png");
const folder = new File([], "folder");
folder.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("", "NotFoundError")) });
const event = new Event("drop", { bubbles: true, cancelable: true });
document.dispatchEvent(Object.assign(event, { dataTransfer: { files: [folder, image] } }));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with opened(DEFAULT_BUNDLE, tmp_path_factory.mktemp("files")) as page:
        yield page


@pytest.mark.parametrize("damage", ["altered", "truncated", "other"])
def test_a_damaged_file_says_why(page, images, damage):
    content = bytearray(page.codec.compress(images[0]))
    if damage == "altered":
        content[-2] ^= 4
    elif damage == "truncated":
        del content[-3:]
    else:
        content[3] ^= 1
    with pytest.raises(InputError) as error:
        page.codec.decompress(bytes(content))
    (page.folder / "bad.fmae").write_bytes(content)
    page.find("files").send_keys(str(page.folder / "bad.fmae"))
    problem = page.find("problem")
    page.wait().until(lambda _: problem.text)
    assert problem.text == f"bad.fmae: {error.value}"
    assert problem.get_attribute("role") == "alert"


def test_a_file_that_is_not_an_image_says_so_and_the_next_one_clears_it(page, images):
    said = page.give(("note.txt", b"text"), ("fine.png", png_bytes(images[7])))
    assert said.startswith("fine: ")
    assert page.find("problem").text == "note.txt: this browser cannot read it as an image"
    page.give(("fine.png", png_bytes(images[7])))
    assert page.find("problem").text == ""
    assert page.gallery()[-1].get_attribute("aria-label") == "fine (2)"


def test_files_that_contain_nothing_or_cannot_be_read_say_so(page, images):
    empty = page.codec.compress_batch(images[:0])
    page.give(("empty.fmae", empty), ("fine.png", png_bytes(images[7])))
    assert page.find("problem").text == "empty.fmae: has no images"
    page.settle(
        lambda: page.driver.execute_script(_GIVE_UNREADABLE, base64.b64encode(png_bytes(images[7])).decode())
    )
    assert page.find("problem").text.startswith("folder: this browser cannot read it: it is a folder")


def test_a_budget_that_is_too_small_shows_no_other_result(page):
    page.settle(page.gallery()[0].click)
    page.driver.execute_script("document.getElementById('budget').min = 1")
    page.find("budget").send_keys(Keys.HOME)
    page.wait().until(lambda _: page.find("failure").text)
    assert page.find("failure").text.startswith("The byte budget is 1, but the lowest quality takes")
    assert page.find("original").is_displayed()
    for name in ("reconstruction", "difference", "tiles", "comparison", "download"):
        assert not page.find(name).is_displayed()
    page.settle(page.find("by-quality").click)
    assert page.figures()[2] == 5
    assert page.find("download").is_displayed()


def test_a_damaged_bundle_says_so(page):
    site = build_site(DEFAULT_BUNDLE)
    files = {**site.files, "bundle/prior.safetensors": site.files["bundle/prior.safetensors"][:-1]}
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    try:
        with served(files) as url:
            page.driver.get(url)
            page.wait().until(lambda _: page.find("lead").get_attribute("role") == "alert")
            assert "prior.safetensors does not match the SHA-256 in the manifest" in page.find("lead").text
            assert not page.find("main").is_displayed()
    finally:
        page.driver.close()
        page.driver.switch_to.window(first)


def test_drops_at_the_same_time_keep_to_the_most_images(page, images):
    content = page.codec.compress_batch(images[[0] * 400])
    (page.folder / "many.fmae").write_bytes(content)
    path = str(page.folder / "many.fmae")
    page.find("files").send_keys(path)
    page.find("files").send_keys(path)
    page.wait().until(lambda _: len(page.gallery()) >= 500)
    note = "which the page shows"
    page.wait().until(lambda _: note in page.find("bytes-note").text)
    assert len(page.gallery()) == 500
