"""`fmae-edge page`."""

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge.bulk.sources import STREAM
from fmae_edge.commands.console import UsageError, json_line, print_line, say
from fmae_edge.commands.options import BundleArgument, Json

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from fmae_edge.page.site import Site

_DEFAULT_OUTPUT = Path("site")


def page(
    bundle: BundleArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder to write. [default: site, or no folder with --serve]",
            readable=False,
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page to this machine and open it in the browser.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
    json: Json = False,
) -> None:
    """Write a web page that compresses images with a bundle.

    The page shows images, their reconstructions, bytes and PSNR, compares them with WebP and JPEG, and reads and
    writes .fmae files. Everything runs in the browser: no image leaves the machine. Any web server for files can
    serve the folder.

    Example: fmae-edge page --serve
    Example: fmae-edge page bundle -o site
    """
    from fmae_edge.page.site import build_site, write_site
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE

    if output == STREAM:
        raise UsageError("-o is -, but a page is a folder of several files; give the path of the folder")
    target = _DEFAULT_OUTPUT if output is None and not serve else output
    site = build_site(bundle or DEFAULT_BUNDLE)
    if target is not None:
        write_site(site, target, force)
        if not json:
            size = sum(map(len, site.files.values()))
            say(f"wrote {target}: {len(site.files)} files, {size / 1e6:.1f} MB")
    if serve:
        _serve(site, target, json)
    elif json:
        print_line(json_line(_record(site, target, None)))


def _record(site: "Site", target: Path | None, url: str | None) -> dict[str, object]:
    """Return what --json prints."""
    return {
        "output": None if target is None else str(target),
        "url": url,
        "name": site.manifest.name,
        "bundle_id": site.manifest.bundle_id,
        "files": {name: len(content) for name, content in site.files.items()},
    }


def _serve(site: "Site", target: Path | None, json: bool) -> None:
    """Serve a page until Ctrl-C."""
    from fmae_edge.page.server import address, page_server

    with page_server(site.files) as server:
        url = address(server)
        if json:
            print_line(json_line(_record(site, target, url)))
        else:
            print_line(f"{url} has the page of bundle {site.manifest.name}; Ctrl-C ends it")
        _open_browser(url)
        _run(server)


def _open_browser(url: str) -> None:
    """Open `url` in a graphical browser, if there is one. One in the terminal would hide what is printed."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    with suppress(webbrowser.Error):
        webbrowser.open(url)


def _run(server: "ThreadingHTTPServer") -> None:
    with suppress(KeyboardInterrupt):  # the usual end, not a failure
        server.serve_forever()
