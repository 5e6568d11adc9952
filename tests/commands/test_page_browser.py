"""The page works in headless Chromium: figures and files are Python's, with mouse, keyboard and on a phone."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from fmae_edge.data.image_file import png_bytes
from fmae_edge.measure.quality import contrast_to_error
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME
from fmae_edge.runtime.bundle.safetensors_file import read_tensors
from tests.browser import CONTRASTS, needs_browser, prefer, resize
from tests.page_in_browser import opened

pytestmark = needs_browser
# A drop and a paste in the way that a browser reports them
_GIVE = """
const [kind, name, text] = arguments;
const transfer = new DataTransfer();
transfer.items.add(new File([Uint8Array.from(atob(text), (each) => each.charCodeAt(0))], name));
document.dispatchEvent(new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true, cancelable: true }));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with opened(DEFAULT_BUNDLE, tmp_path_factory.mktemp("files")) as page:
        yield page


@pytest.fixture(scope="module")
def golden():
    """The images of the golden vectors, (8, 28, 28)."""
    content = read_bundle(DEFAULT_BUNDLE, only=(GOLDEN_NAME,)).files[GOLDEN_NAME]
    return read_tensors(content, GOLDEN_NAME, floats=True)["images"]


def test_figures_and_files_of_the_golden_images_are_those_of_python(page, golden):
    assert len(page.gallery()) >= len(golden)
    files = {}
    for number, (button, image) in enumerate(zip(page.gallery(), golden, strict=False), 1):
        said = page.settle(button.click)
        page.require(image)
        content, (size, psnr, quality), _ = page.expected(image)
        name = f"Training image {number}"
        assert said.startswith(f"{name}: {size} bytes with quality {quality}, {psnr:.2f} dB.")
        page.find("download").click()
        files[f"{name}.fmae"] = content
    for name, content in files.items():
        assert page.downloaded(name) == content


def test_the_comparison_has_bytes_and_psnr_of_other_formats(page, golden):
    page.settle(page.gallery()[1].click)
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#rows tr")
    cells = [re.split(r"\s+", row.text, maxsplit=2) for row in rows]
    assert [cell[0] for cell in cells] == [".fmae", "WebP", "JPEG"]
    size, psnr, _ = page.expected(golden[1])[1]
    for _, bytes_shown, rest in cells[1:]:
        assert size < int(bytes_shown) < 1000
        assert float(rest.split()[0]) >= round(psnr, 2)


# The files that a worker's canvas makes, and their bytes as the page counts them
_ENCODED = """
const done = arguments[0];
const run = async () => {
  const { bytesWithoutProfile } = await import(new URL("js/page/colour_profile.js", document.baseURI));
  const canvas = new OffscreenCanvas(28, 28);
  canvas.getContext("2d", { alpha: false }).fillRect(5, 5, 9, 9);
  const files = [];
  for (const type of ["image/webp", "image/jpeg", "image/webp"]) {
    const blob = await canvas.convertToBlob({ type, quality: files.length / 3 });
    const content = new Uint8Array(await blob.arrayBuffer());
    files.push([[...content], bytesWithoutProfile(content)]);
  }
  return files;
};
run().then(done);
"""


def test_colour_profiles_are_not_counted(page):
    for levels, counted in page.driver.execute_async_script(_ENCODED):
        image = Image.open(BytesIO(bytes(levels)))
        profile = image.info.get("icc_profile", b"")
        # WebP: a chunk's header, and the chunk that says there is one; JPEG: a marker, a length, a name, numbers
        around = {"WEBP": 8 + len(profile) % 2 + 18, "JPEG": 18}[image.format] if profile else 0
        assert counted == len(levels) - len(profile) - around


def test_the_sliders_choose_a_quality_or_a_budget(page, golden):
    page.settle(page.gallery()[0].click)
    for key, quality in ((Keys.HOME, 1), (Keys.END, 9)):
        page.settle(lambda key=key: page.find("quality").send_keys(key))
        page.require(golden[0], quality=quality)
    budget = page.find("budget")
    assert int(budget.get_attribute("min")) == len(page.codec.compress(golden[0], 1))
    for key in (Keys.HOME, Keys.ARROW_RIGHT):
        page.settle(lambda key=key: budget.send_keys(key))
        page.require(golden[0], max_bytes=int(budget.get_attribute("value")))
    page.settle(page.find("by-quality").click)
    page.settle(lambda: page.find("quality").send_keys(Keys.HOME + Keys.ARROW_RIGHT * 4))
    page.require(golden[0])


def test_images_that_are_chosen_become_one_file(page, images):
    before = len(page.gallery())
    names = ["first", "second"]
    page.give(*((f"{name}.png", png_bytes(images[number])) for number, name in enumerate(names)))
    assert [button.get_attribute("aria-label") for button in page.gallery()[before:]] == names
    page.require(images[0])
    stack = page.codec.compress_batch(images[:2], names=names)
    page.find("download-all").click()
    assert page.downloaded("images.fmae") == stack


def test_an_image_that_is_dragged_in_from_disk(page, images):
    path = page.folder / "dragged.png"
    path.write_bytes(png_bytes(images[5]))
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}

    def drop():
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 400, "y": 300, "data": data}
            page.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    assert page.settle(drop).startswith("dragged: ")
    page.require(images[5])


def test_an_image_that_is_pasted(page, images):
    content = base64.b64encode(png_bytes(images[6])).decode()
    said = page.settle(lambda: page.driver.execute_script(_GIVE, "paste", "image.png", content))
    assert said.startswith("image: ")
    page.require(images[6])


def test_a_file_of_several_images_is_shown(page, images):
    names = ["shirt", "bag"]
    content = page.codec.compress_batch(images[:2], quality=3, names=names)
    before = len(page.gallery())
    assert page.give(("two.fmae", content)).startswith("shirt: ")
    buttons = page.gallery()[before:]
    assert [button.get_attribute("aria-label") for button in buttons] == names
    for number, button in enumerate(buttons):
        page.settle(button.click)
        assert np.array_equal(page.pixels("reconstruction"), page.codec.decompress(content, number))
        assert page.find("bytes").get_attribute("data-value") == str(
            len(page.codec.parse(content).payloads[number])
        )
        assert not page.find("original-figure").is_displayed()
    assert page.find("bytes-note").text == f"in two.fmae: {len(content)} B, 2 images"


def test_an_image_of_another_size_and_kind_is_scaled_and_its_quality_is_warned_of(page):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    said = page.give(("noise.png", png_bytes(noise)))
    gray = np.asarray(Image.fromarray(noise).convert("L"))
    page.require(gray)
    _, (_, psnr, quality), decoded = page.expected(gray)
    assert (
        contrast_to_error(gray[None], decoded[None]) < page.codec.manifest.qualities.contrast_floors[quality - 1]
    )
    warning = f"noise decodes badly, with a PSNR of {psnr:.1f} dB; such images are not of the kind"
    assert page.find("warning").text.startswith(warning)
    assert warning in said
    page.give(("wide.png", png_bytes(np.repeat(noise, 2, axis=1))))
    assert (
        page.find("conversion").text
        == "56\N{MULTIPLICATION SIGN}28 pixels, scaled to 28\N{MULTIPLICATION SIGN}28; the edges are cut off"
    )
    assert np.array_equal(page.pixels("original").shape, (28, 28))


def test_drawing_shows_at_once_what_the_model_makes_of_it(page):
    page.settle(page.find("draw").click)
    assert page.pixels("original").max() == 0
    pad = page.find("original")
    far = pad.size["width"] // 3
    stroke = ActionChains(page.driver, duration=20).move_to_element_with_offset(pad, -far, -far)
    said = page.settle(stroke.click_and_hold().move_to_element_with_offset(pad, far, far).release().perform)
    assert said.startswith("Drawing: ")
    drawn = page.pixels("original")
    assert drawn[14, 14] == 230
    assert drawn[4, 24] == 0
    page.require(drawn)
    page.settle(page.find("clear").click)
    assert page.pixels("original").max() == 0


def focused(page):
    return page.driver.switch_to.active_element


def test_the_keyboard_is_enough(page):
    page.driver.execute_script("document.body.tabIndex = -1; document.body.focus()")

    def press(*keys):
        ActionChains(page.driver, duration=0).send_keys(*keys).perform()

    press(Keys.TAB)
    assert focused(page).get_attribute("id") == "files"
    press(Keys.TAB)
    assert focused(page).get_attribute("id") == "draw"
    page.settle(lambda: press(Keys.ENTER))
    assert focused(page).get_attribute("id") == "original"
    line = ActionChains(page.driver, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * 5)
    page.settle(line.key_up(Keys.SHIFT).perform)
    drawn = page.pixels("original")
    assert drawn[14, 14:19].min() > 200
    assert drawn[14, :12].max() == 0
    page.require(drawn)
    order = []
    while not order or order[-1] != "download":
        press(Keys.TAB)
        order.append(focused(page).get_attribute("id"))
        outline = page.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", order
    assert order == ["brush-width", "brightness", "erase", "clear", "download"]
    content = page.codec.compress(drawn)
    name = page.find("result-title").text
    press(Keys.ENTER)
    assert page.downloaded(f"{name}.fmae") == content
    order = []
    while not order or order[-1] != "draw":
        ActionChains(page.driver, duration=0).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        order.append(focused(page).get_attribute("id"))
    assert [name for name in order if name][-4:] == ["budget", "quality", "by-quality", "draw"]


def test_everything_has_a_name_for_screen_readers(page):
    nameless = """
    const named = (e) => e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim() ||
      document.getElementById(e.getAttribute("aria-labelledby"));
    return [...document.querySelectorAll("input, button, canvas[role], section, form, ul, [role=group]")]
      .filter((e) => !named(e)).map((e) => e.outerHTML);
    """
    assert page.driver.execute_script(nameless) == []
    assert page.driver.execute_script("return document.documentElement.lang") == "en"
    assert page.find("status").get_attribute("role") == "status"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_both_colour_schemes(page, scheme):
    page.give(("noise.png", png_bytes(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))))
    page.driver.execute_script("document.getElementById('problem').textContent = 'a problem'")
    prefer(page.driver, scheme)
    try:
        background = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        levels = [int(level) for level in re.findall(r"\d+", background)]
        assert max(levels) < 40 if scheme == "dark" else min(levels) > 220
        contrasts = page.driver.execute_script(CONTRASTS)
        assert len(contrasts) > 40
        assert min(contrasts, key=lambda each: each[1])[1] >= 4.5
    finally:
        prefer(page.driver, "light")
        page.driver.execute_script("document.getElementById('problem').textContent = ''")


@pytest.mark.parametrize("width", [320, 360, 700])
def test_it_never_scrolls_sideways(page, width):
    resize(page.driver, width, 740, mobile=True)
    say = "document.getElementById(arguments[0]).textContent = arguments[1]"
    page.driver.execute_script(say, "problem", f"{'name' * 60}.fmae: damaged")
    try:
        for show in (page.find("draw").click, page.gallery()[0].click):
            page.settle(show)
            assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.driver.execute_script(say, "problem", "")
        resize(page.driver, 1280, 900, mobile=False)
