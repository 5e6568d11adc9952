"""Read a report in tests: the elements of its page, and its figures by path."""

from html.parser import HTMLParser


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
