"""A report works in headless Chromium: no errors, nothing too wide or too pale, and an interactive map."""

import json
import re

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import CONTRASTS, chromium, needs_browser, prefer, resize
from tests.report_page import at

pytestmark = needs_browser

_FIGURES = """
return [...document.querySelectorAll("[data-figure]")].map((e) => [e.dataset.figure, e.dataset.value]);
"""
_PIXELS = """
const { width, height } = document.getElementById("original");
const copy = Object.assign(document.createElement("canvas"), { width, height });
const pen = copy.getContext("2d", { willReadFrequently: true });  // otherwise Chromium warns about the second read
pen.drawImage(document.getElementById("original"), 0, 0);
return [...pen.getImageData(0, 0, width, height).data];
"""


@pytest.fixture(scope="module")
def browser(report_page):
    with chromium(browser="ALL") as driver:
        driver.get(report_page[0].as_uri())
        WebDriverWait(driver, 10).until(lambda _: driver.find_element(By.ID, "said").text)
        yield driver
        assert driver.get_log("browser") == []


def test_it_renders_without_messages_on_the_console(browser):
    assert browser.get_log("browser") == []
    assert browser.find_element(By.TAG_NAME, "h1").text == "fashion-mnist"
    broken = "return [...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
    assert browser.execute_script(broken) == 0
    assert (
        browser.execute_script(
            "return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length"
        )
        == 0
    )
    for drawing in browser.find_elements(By.TAG_NAME, "svg"):
        assert drawing.size["height"] > 100


def test_its_figures_are_the_ones_that_the_command_prints(browser, report_page):
    _, printed = report_page
    embedded = browser.execute_script("return document.getElementById('figures').textContent")
    assert json.loads(embedded) == printed
    shown = browser.execute_script(_FIGURES)
    assert len(shown) > 700
    for path, value in shown:
        assert json.loads(value) == at(printed, path), path


@pytest.mark.parametrize("width", [360, 375, 1280])
def test_it_never_scrolls_sideways(browser, width):
    resize(browser, width, 740, mobile=width < 1000)
    try:
        browser.execute_script("document.querySelector('details').open = true")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script("return document.body.scrollWidth") <= width
    finally:
        resize(browser, 1280, 900, mobile=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_both_colour_schemes(browser, scheme):
    prefer(browser, scheme)
    try:
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        levels = [int(level) for level in re.findall(r"\d+", background)]
        assert max(levels) < 40 if scheme == "dark" else min(levels) > 220
        contrasts = browser.execute_script(CONTRASTS)
        assert len(contrasts) > 900
        assert min(contrast for _, contrast in contrasts) >= 4.5
    finally:
        prefer(browser, "light")


def test_pointing_at_the_map_shows_the_nearest_image(browser, report_page, images):
    latent_map = report_page[1]["map"]
    places = np.stack([latent_map["x"], latent_map["y"]], axis=1)
    plane = browser.find_element(By.ID, "plane")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plane)
    for index in (3, 200):
        x, y = ((places[index] - 0.5) * (plane.size["width"] - 2)).round()
        ActionChains(browser, duration=50).move_to_element_with_offset(plane, int(x), int(y)).perform()
        said = browser.find_element(By.ID, "said").text
        shown = int(re.match(r"Test image (\d+): ", said)[1])
        assert np.linalg.norm(places[shown] - places[index]) < 0.01
        assert f"{latent_map['psnr'][shown]:.2f} dB, {latent_map['bytes'][shown]} bytes" in said
        pixels = browser.execute_script(_PIXELS)[::4]  # red of red, green, blue and alpha
        drawn = np.reshape(pixels, (28, 28))
        assert np.abs(drawn - images[shown].astype(int)).mean() < 12  # the atlas is lossy
    assert browser.find_element(By.ID, "mark").is_displayed()


def test_the_slider_goes_from_the_worst_image_to_the_best(browser, report_page):
    psnr = report_page[1]["map"]["psnr"]
    slider = browser.find_element(By.ID, "rank")
    for key, index in ((Keys.HOME, int(np.argmin(psnr))), (Keys.END, int(np.argmax(psnr)))):
        slider.send_keys(key)
        assert browser.find_element(By.ID, "said").text.startswith(f"Test image {index}: {psnr[index]:.2f} dB")
