"""A page of `fmae-edge page` in headless Chromium, and what Python makes of the same images."""

import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from fmae_edge import Codec
from fmae_edge.measure.quality import psnr_per_image
from fmae_edge.page.server import address, page_server
from fmae_edge.page.site import build_site
from tests.browser import chromium

SECONDS = 20  # until a page that does not answer fails a test
_FIGURES = """
const value = (id) => document.getElementById(id).dataset.value;
return ["bytes", "psnr", "chosen"].map(value);
"""
_PIXELS = """
const { width, height } = arguments[0];
const copy = Object.assign(document.createElement("canvas"), { width, height });
const pen = copy.getContext("2d", { willReadFrequently: true });  // otherwise Chromium warns about the second read
pen.drawImage(arguments[0], 0, 0);
return [...pen.getImageData(0, 0, width, height).data];
"""


class Page:
    """A page in a browser, and the codec that it should equal."""

    def __init__(self, driver, bundle, folder):
        self.driver, self.codec, self.folder = driver, Codec(bundle), folder

    def find(self, name):
        return self.driver.find_element(By.ID, name)

    def said(self):
        return self.find("status").get_attribute("textContent")

    def wait(self):
        return WebDriverWait(self.driver, SECONDS, 0.02)

    def settle(self, act):
        """Call `act` and return what the page says to screen readers when it has its results."""
        self.driver.execute_script("document.getElementById('status').textContent = ''")
        act()
        return self.wait().until(lambda _: self.said())

    def give(self, *files):
        """Choose files with the button, each as (name, content); return what the page says."""
        for name, content in files:
            (self.folder / name).write_bytes(content)
        paths = "\n".join(str(self.folder / name) for name, _ in files)
        return self.settle(lambda: self.find("files").send_keys(paths))

    def figures(self):
        return tuple(float(value) for value in self.driver.execute_script(_FIGURES))

    def pixels(self, name):
        canvas = self.find(name)
        width, height = (int(canvas.get_attribute(side)) for side in ("width", "height"))
        levels = np.array(self.driver.execute_script(_PIXELS, canvas), np.uint8).reshape(height, width, 4)
        return levels[..., 0] if self.codec.manifest.image_channels == 1 else levels[..., :3]

    def downloaded(self, name):
        """Return the content of the file that the browser saves under that name."""
        path = self.folder / name
        self.wait().until(lambda _: path.exists())
        content = path.read_bytes()
        path.unlink()
        return content

    def gallery(self):
        return self.driver.find_elements(By.CSS_SELECTOR, "#gallery button")

    def expected(self, image, **setting):
        """Return the file that Python makes, its figures as the page has them, and the decoded image."""
        content = self.codec.compress(image, **setting)
        decoded = self.codec.decompress(content)
        quality = self.codec.parse(content).quality
        return content, (len(content), psnr_per_image(image[None], decoded[None])[0], quality), decoded

    def require(self, image, **setting):
        """Raise unless the page shows what Python makes of an image."""
        _, figures, decoded = self.expected(image, **setting)
        assert self.figures() == pytest.approx(figures)
        assert np.array_equal(self.pixels("reconstruction"), decoded)
        assert np.array_equal(self.pixels("original"), image)
        difference = np.clip(128 + 2 * (decoded.astype(int) - image), 0, 255)
        assert np.array_equal(self.pixels("difference"), difference)


@contextmanager
def served(files):
    """Serve the files of a page, and yield its URL."""
    with page_server(files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield address(server)
        server.shutdown()


@contextmanager
def opened(bundle, folder):
    """Serve the page of a bundle and open it; check in the end that it had no error and asked no other host."""
    with served(build_site(bundle).files) as url, chromium(browser="ALL", performance="ALL") as driver:
        where = {"behavior": "allow", "downloadPath": str(folder)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
        driver.get(url)
        page = Page(driver, bundle, folder)
        page.wait().until(lambda _: page.said())
        yield page
        assert driver.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        sent = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
        urls = [each["request"]["url"] for each in sent]
        assert f"{url}js/page/page.js" in urls
        assert not [each for each in urls if not each.startswith(("http://127.0.0.1:", "data:", "blob:"))]
