"""Build and take apart reports in tests: the figures of an invented benchmark, and the elements of a page."""

from html.parser import HTMLParser

from fmae_edge.evaluate.bench import BATCHES, TASKS, Bench, Speed
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.graphs import PRECISIONS


def bench_of(bundle_id=None):
    """Return a benchmark whose times are all different."""
    speeds = [
        Speed(
            task, precision, threads, batch, 9, 100.0 + batch * threads, 200.0 + batch, 1e6 * batch / (100 + batch)
        )
        for task in TASKS
        for precision in PRECISIONS
        for threads in (1, 2)
        for batch in BATCHES
    ]
    machine = {"cpu": "an invented CPU", "cpus": 2, "system": "none"}
    load = {"int8": 10.0, "fp32": 20.0}
    bundle_id = bundle_id or read_bundle(DEFAULT_BUNDLE, only=()).manifest.bundle_id
    return Bench(bundle_id, machine, speeds, load, None, {"python": 30.0})


class Page(HTMLParser):
    """The elements of a page as (tag, attributes, text up to the next tag)."""

    def __init__(self, content):
        super().__init__()
        self.elements = []
        self._inside = False
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        self._inside = True

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.elements[-1][2] += data

    def all(self, tag):
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def at(figures, path):
    """Return the figure at a path such as measured.passes.0.ssim."""
    for step in path.split("."):
        figures = figures[int(step)] if isinstance(figures, list) else figures[step]
    return figures
