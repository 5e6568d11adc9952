"""The server answers with the files of a page, their types, and nothing else."""

import http.client
import threading
import urllib.request
from urllib.error import HTTPError

import pytest

from fmae_edge.page.server import address, page_server

FILES = {
    "index.html": b"<!doctype html>",
    "js/a.js": b"export {};",
    "js/page.css": b"",
    "bundle/b.onnx": b"\0" * 9,
}


@pytest.fixture(scope="module")
def server():
    with page_server(FILES) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("", "index.html", "text/html; charset=utf-8"),
        ("index.html?again", "index.html", "text/html; charset=utf-8"),
        ("js/a.js", "js/a.js", "text/javascript; charset=utf-8"),
        ("js/page.css", "js/page.css", "text/css; charset=utf-8"),
        ("bundle/b.onnx", "bundle/b.onnx", "application/octet-stream"),
        ("bundle/%62.onnx", "bundle/b.onnx", "application/octet-stream"),
    ],
)
def test_files_have_their_types(server, path, name, kind):
    with urllib.request.urlopen(address(server) + path) as answer:
        assert answer.read() == FILES[name]
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert ("Content-Security-Policy" in answer.headers) == name.endswith(".js")  # which a worker may run


@pytest.mark.parametrize(
    "path", ["nothing", "js", "../pyproject.toml", "%2e%2e/pyproject.toml", "js/../index.html"]
)
def test_other_paths_do_not_exist(server, path):
    with pytest.raises(HTTPError) as error:
        urllib.request.urlopen(address(server) + path)
    assert error.value.code == 404


def test_a_connection_serves_several_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    for method, expected in (("HEAD", b""), ("GET", b"export {};"), ("GET", b"export {};")):
        connection.request(method, "/js/a.js")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "10", expected)
    connection.close()


def test_only_this_machine_is_served(server):
    assert server.server_address[0] == "127.0.0.1"
