"""Time the page of a bundle in headless Chromium, from a local server: `python benchmarks/page.py`, half a minute.

It prints how long after the address was entered the page has compressed and shown its first image, as a median of
new browsers with empty caches. Then it times the codec of the page in the same browser: one image at a time, and a
file of many. The images are those of the bundle's golden vectors, which the page shows as examples.
"""

import argparse
import shutil
import statistics
import threading
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from fmae_edge.page.server import address, page_server
from fmae_edge.page.site import build_site
from fmae_edge.runtime.bundle.built_in import find_bundle

SECONDS = 120  # until a page that does not answer ends the run
CODING = """
const [count, done] = arguments;
const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const run = async () => {
  const { Coding } = await import(new URL("js/page/coding.js", document.baseURI));
  const coding = await Coding.load(new URL("bundle/", document.baseURI).href);
  const examples = await coding.examples();
  const one = [];
  for (let round = 0; round < 30; round++) {
    const begin = performance.now();
    await coding.code(examples[round % examples.length], { quality: 5 });
    one.push(performance.now() - begin);
  }
  const images = Array.from({ length: count }, (_, number) => examples[number % examples.length]);
  const content = await coding.codec.compressBatch(images);
  const all = [];
  for (let round = 0; round < 5; round++) {
    const begin = performance.now();
    await coding.codec.decompressBatch(content);
    all.push(performance.now() - begin);
  }
  return [median(one), median(all) / count];
};
run().then(done, (error) => done(String(error)));
"""


def main() -> None:
    """Open the page in new browsers and print a few lines."""
    parser = argparse.ArgumentParser(description="Speed of the page in Chromium.")
    parser.add_argument("bundle", nargs="?", default="default", help="folder or name (default: default)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="new browsers (default: 7)")
    parser.add_argument(
        "--images", type=int, default=1000, metavar="N", help="in the file of many (default: 1000)"
    )
    args = parser.parse_args()
    site = build_site(Path(find_bundle(args.bundle)))
    with page_server(site.files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ready = [_ready(address(server)) for _ in range(args.rounds)]
        driver = _open(address(server))
        try:
            one, each = driver.execute_async_script(CODING, args.images)
        finally:
            driver.quit()
        server.shutdown()
    size = sum(map(len, site.files.values()))
    print(f"{site.manifest.name}: {len(site.files)} files, {size / 1e6:.2f} MB")
    shown = f"median of {args.rounds}, {min(ready):.0f} to {max(ready):.0f}"
    print(f"first image compressed and shown after {statistics.median(ready):.0f} ms ({shown})")
    print(f"compress and decompress one image: {one:.2f} ms")
    print(f"decompress a file of {args.images} images: {1000 / each:.0f} images/s")


def _ready(url: str) -> float:
    """Return the milliseconds from the navigation to the first result, in a new browser."""
    driver = _open(url)
    try:
        return float(_when_ready(driver))
    finally:
        driver.quit()


def _open(url: str) -> webdriver.Chrome:
    """Return a new browser in which the page is ready."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver") or ""))
    driver.set_script_timeout(SECONDS)
    driver.get(url)
    WebDriverWait(driver, SECONDS, 0.02).until(_when_ready)
    return driver


def _when_ready(driver: webdriver.Chrome) -> Any:
    return driver.execute_script("return document.documentElement.dataset.ready")


if __name__ == "__main__":
    main()
