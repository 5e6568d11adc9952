"""Serve the files of a page from memory, to this machine only."""

from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from fmae_edge.page.site import INDEX

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
# The policy in index.html is for the page. A worker has the one of its script: WebAssembly, but no other host
_WORKER_POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
_OTHER_TYPE = "application/octet-stream"
_SECONDS = 60  # until a connection without requests is closed


def page_server(files: Mapping[str, bytes]) -> ThreadingHTTPServer:
    """Return a server of `files` on a free port of 127.0.0.1, which the caller starts and closes."""
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, files))


def address(server: ThreadingHTTPServer) -> str:
    """Return the URL of the page that a server has."""
    return f"http://127.0.0.1:{server.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the given files."""

    protocol_version = "HTTP/1.1"  # one connection for many files
    timeout = _SECONDS
    disable_nagle_algorithm = True  # the content does not wait until the browser has the header

    def __init__(self, files: Mapping[str, bytes], *connection: Any) -> None:
        self._files = files
        super().__init__(*connection)  # which answers the requests of the connection

    def do_GET(self) -> None:  # the name that http.server calls
        """Send a file, or 404."""
        content = self._send_header()
        if content is not None:
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        """Send the header of a file, or 404."""
        self._send_header()

    def _send_header(self) -> bytes | None:
        name = unquote(urlsplit(self.path).path).lstrip("/") or INDEX
        content = self._files.get(name)
        if content is None:
            self.send_error(404)
            return None
        self.send_response(200)
        suffix = PurePosixPath(name).suffix
        self.send_header("Content-Type", _TYPES.get(suffix, _OTHER_TYPE))
        if suffix == ".js":
            self.send_header("Content-Security-Policy", _WORKER_POLICY)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-cache")  # the next server may have another bundle on this port
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        return content

    def log_message(self, *_: Any) -> None:
        """Print nothing: the command prints the address, and a page that fails says so itself."""
