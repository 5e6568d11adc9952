"""Headless Chromium for tests of pages: how to start it, resize it, and measure the contrast of its text."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver: apt-get install chromium chromium-driver"
)
DESKTOP = (1280, 900)
# A request to another host fails, which the browser's log shows: also one of a worker, which has no log of its own
_NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

# The WCAG contrast between each visible element that contains text and its background
CONTRASTS = """
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => {
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = parse(colour).map((c) => linear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
    if (a === 1) return light(`${r} ${g} ${b}`);
  }
  return 1;
};
return [...document.body.querySelectorAll("*:not(script)")]
  .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .map((element) => {
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement;
    const pair = [light(drawn ? style.fill : style.color), behind(element)].sort((a, b) => a - b);
    return [element.tagName, (pair[1] + 0.05) / (pair[0] + 0.05)];
  });
"""


@contextmanager
def chromium(**logs):
    """Yield a driver of a new browser of desktop size. `logs` are levels of its logs, such as browser="ALL"."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", _NO_OTHER_HOST):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", logs)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        resize(driver, *DESKTOP, mobile=False)
        yield driver
    finally:
        driver.quit()


def resize(driver, width, height, mobile):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(driver, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
