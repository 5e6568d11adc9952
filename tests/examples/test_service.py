"""The service returns the results of the codec, and no request costs more than the limits allow."""

import asyncio
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageFile, PngImagePlugin

from examples import service
from fmae_edge import Codec, InputError
from tests.conftest import REPOSITORY

CODEC = Codec(threads=1)


@pytest.fixture(scope="module")
def client():
    with TestClient(service.app) as client:
        yield client


def image_file(image, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def npy_file(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def pixels(response):
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(response.content)))


def png_that_claims(width, height):
    """Return a small PNG whose valid header claims this size."""
    content = image_file(np.zeros((28, 28), np.uint8))
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def npy_that_claims(shape):
    return npy_file(np.zeros(64, np.float32)).replace(b"(64,), }" + b" " * 20, f"{shape}, }}".encode().ljust(28))


def png_with_a_wrong_checksum():
    content = bytearray(image_file(np.zeros((28, 28), np.uint8)))
    content[-13] ^= 1  # the last chunk has 12 bytes
    return bytes(content)


def png_without_the_last_row():
    rows = b"IDAT" + zlib.compress(bytes(29 * 27))
    content = image_file(np.zeros((28, 28), np.uint8))
    chunk = struct.pack(">I", len(rows) - 4) + rows + struct.pack(">I", zlib.crc32(rows))
    return content[:33] + chunk + content[-12:]


def png_with_text(characters):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * characters, zip=True)
    return image_file(np.zeros((28, 28), np.uint8), pnginfo=text)


FMAE = CODEC.compress(np.zeros((28, 28), np.uint8))
STACK = CODEC.compress_batch(np.zeros((3, 28, 28), np.uint8))


@pytest.mark.parametrize("quality", [1, 5, 9])
def test_fmae_files_round_trip(client, images, quality):
    response = client.post("/compress", params={"quality": quality}, content=image_file(images[0]))
    assert response.content == CODEC.compress(images[0], quality)
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == 'attachment; filename="image.fmae"'
    back = client.post("/decompress", content=response.content)
    np.testing.assert_array_equal(pixels(back), CODEC.decompress(response.content))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_latents_round_trip(client, images, dtype):
    response = client.post("/compress", params={"format": "npy"}, content=image_file(images[0]))
    latent = np.load(io.BytesIO(response.content))
    np.testing.assert_array_equal(latent, CODEC.encode(images[0]))
    assert response.headers["content-disposition"] == 'attachment; filename="image.npy"'
    latent = CODEC.encode(images[0], dtype)
    back = client.post("/decompress", content=npy_file(latent))
    np.testing.assert_array_equal(pixels(back), CODEC.decode(latent))


def test_colour_images_and_jpeg_files_are_accepted(client, images):
    colours = np.repeat(images[0][..., None], 3, axis=2)
    assert client.post("/compress", content=image_file(colours)).content == CODEC.compress(images[0])
    assert client.post("/compress", content=image_file(images[0], "JPEG")).status_code == 200
    assert client.post("/compress", content=png_with_text(1_000_000)).status_code == 200


def test_a_bundle_for_rgb_images_is_served(rgb_bundle, rgb_images, monkeypatch):
    monkeypatch.setenv("FMAE_EDGE_BUNDLE", str(rgb_bundle))
    codec = Codec(rgb_bundle, threads=1)
    with TestClient(service.app) as client:
        assert client.get("/health").json()["bundle"] == codec.manifest.bundle_id
        through_latents = codec.decode(codec.encode(rgb_images[0]))
        through_a_file = codec.decompress(codec.compress(rgb_images[0]))
        for format, expected in (("npy", through_latents), ("fmae", through_a_file)):
            response = client.post("/compress", params={"format": format}, content=image_file(rgb_images[0]))
            decoded = pixels(client.post("/decompress", content=response.content))
            assert decoded.shape == (26, 20, 3)
            np.testing.assert_array_equal(decoded, expected)
        refused = client.post("/compress", content=image_file(rgb_images[0, :20]))
        assert (refused.status_code, "20x20 and must be 20x26" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(("shape", "most"), [((28, 28), 65536), ((256, 256, 3), 393216)])
def test_the_largest_file_follows_the_images_of_the_bundle(shape, most):
    codec = SimpleNamespace(manifest=SimpleNamespace(image_shape=shape))
    assert service.most_body_bytes(codec) == most


def test_index_selects_an_image_of_a_stack(client, images):
    latents = CODEC.encode(images[:3])
    stacks = [CODEC.compress_batch(images[:3]), npy_file(latents), npy_file(np.asfortranarray(latents))]
    for stack, decoded in zip(stacks, (CODEC.decompress(stacks[0]), *[CODEC.decode(latents)] * 2), strict=True):
        for index in range(3):
            response = client.post("/decompress", params={"index": index}, content=stack)
            np.testing.assert_array_equal(pixels(response), decoded[index])


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/compress", b"", "not an image file"),
        ("/compress", FMAE, "not an image file"),
        ("/compress", image_file(np.eye(28, dtype=np.uint8))[:-30], "truncated"),
        ("/compress", image_file(np.eye(28, dtype=np.uint8))[:-12], "its end is missing"),
        ("/compress", png_with_a_wrong_checksum(), "the checksum of its 'IDAT' chunk is wrong"),
        ("/compress", png_without_the_last_row(), "29 bytes of its pixels are missing"),
        ("/compress", image_file(np.zeros((28, 29), np.uint8)), "29x28 and must be 28x28"),
        ("/compress", png_that_claims(60_000, 60_000), "too large to resize"),
        ("/decompress", b"", "not a .fmae file"),
        ("/decompress", FMAE[:-1], "truncated"),
        ("/decompress", FMAE[:-1] + bytes([FMAE[-1] ^ 1]), "corrupted"),
        ("/decompress?index=3", STACK, "has no image 3; its 3 images are numbered 0 to 2"),
        ("/decompress", npy_file(np.zeros(64, np.float32))[:-1], "it has 255 bytes of data and needs 256"),
        ("/decompress", npy_that_claims((10**30, 0)), "its header is missing or damaged"),
        ("/decompress", b"\x93NUMPY", "its header is missing or damaged"),
        ("/decompress", npy_file(np.zeros((3, 1, 64), np.int8)), "(3, 1, 64)"),
        ("/decompress?index=1", npy_file(np.zeros(64, np.float32)), "no latent 1"),
        ("/decompress", npy_file(np.zeros(63, np.float32)), "(63,)"),
        ("/decompress", npy_file(np.full(64, np.nan, np.float32)), "NaN"),
        ("/decompress", npy_file(np.float32(1)), "()"),
        ("/decompress", CODEC.compress_batch(np.zeros((0, 28, 28), np.uint8)), "has no image 0; it is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_bad_files_get_status_422_and_a_sentence(client, path, body, sentence):
    response = client.post(path, content=body)
    assert response.status_code == 422
    assert sentence in response.json()["detail"]


@pytest.mark.parametrize("path", ["/compress?quality=0", "/compress?format=png", "/decompress?index=-1"])
def test_bad_options_are_refused(client, path):
    assert client.post(path, content=FMAE).status_code == 422


def test_a_huge_image_is_refused_before_it_is_unpacked(client, monkeypatch):
    unpacked = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: unpacked.append(image))
    response = client.post("/compress", content=png_that_claims(9000, 9000))
    assert "9000x9000 and must be 28x28" in response.json()["detail"]
    assert not unpacked


def test_pickles_are_not_loaded(client, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "loaded",)

    response = client.post("/decompress", content=npy_file(np.array([Evil()], object)))
    assert response.status_code == 422
    assert not (tmp_path / "loaded").exists()


def test_a_header_that_claims_too_much_takes_no_memory():
    content = npy_that_claims((2**20, 64))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="needs 268435456"):
            service.read_latent(content, 0, 64)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def scope_of(path, headers=(), places=None):
    """Return the ASGI scope of a POST request."""
    state = {"codec": CODEC, "places": places or anyio.Semaphore(1)}
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "state": state,
    }


@pytest.mark.parametrize(("announced", "chunks_read"), [([(b"content-length", b"65537")], 0), ([], 5)])
def test_an_endless_body_is_not_read_to_the_end(announced, chunks_read):
    """65,536 bytes are allowed, so the fifth chunk of 16,384 bytes is too much."""
    read, sent = [], []

    async def receive():
        read.append(1)
        assert len(read) < 20
        return {"type": "http.request", "body": bytes(16_384), "more_body": True}

    async def send(message):
        sent.append(message)

    asyncio.run(service.app(scope_of("/decompress", headers=announced), receive, send))
    assert (sent[0]["status"], len(read)) == (413, chunks_read)
    assert "65536 bytes" in json.loads(sent[1]["body"])["detail"]


def test_simultaneous_requests_get_their_own_answers(client, images):
    def there_and_back(image):
        content = client.post("/compress", content=image_file(image)).content
        return pixels(client.post("/decompress", content=content))

    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(there_and_back, images[:24]))
    np.testing.assert_array_equal(decoded, [CODEC.decompress(CODEC.compress(image)) for image in images[:24]])


def test_two_requests_compress_at_once_and_the_service_still_answers(client, images, monkeypatch):
    running, most, go = threading.Semaphore(0), [0], threading.Event()
    at_work = set()

    def slow(codec, image, quality):
        at_work.add(threading.get_ident())
        most[0] = max(most[0], len(at_work))
        running.release()
        assert go.wait(60)
        at_work.discard(threading.get_ident())
        return b"done"

    monkeypatch.setattr(Codec, "compress", slow)
    with ThreadPoolExecutor(6) as pool:
        posted = [pool.submit(client.post, "/compress", content=image_file(images[0])) for _ in range(6)]
        try:
            assert all(running.acquire(timeout=60) for _ in range(service.THREADS))
            for _ in range(5):
                assert client.get("/health").json() == {"status": "ok", "bundle": CODEC.manifest.bundle_id}
        finally:
            go.set()
        assert [response.result().content for response in posted] == [b"done"] * 6
    assert most[0] == service.THREADS == 2


def test_a_file_that_claims_too_many_images_is_refused(client, monkeypatch):
    monkeypatch.setattr(service, "MAX_IMAGES", 2)
    assert client.post("/decompress", content=STACK).status_code == 422
    monkeypatch.setattr(service, "MAX_IMAGES", 3)
    assert client.post("/decompress", content=STACK).status_code == 200


def test_requests_over_the_limit_are_told_to_try_again(images):
    async def post():
        return {"type": "http.request", "body": image_file(images[0]), "more_body": False}

    sent = []

    async def send(message):
        sent.append(message)

    places = anyio.Semaphore(0)
    asyncio.run(service.app(scope_of("/compress", places=places), post, send))
    assert (sent[0]["status"], places.value) == (503, 0)
    assert (b"retry-after", b"1") in sent[0]["headers"]


def test_a_client_that_sends_nothing_gets_a_timeout(monkeypatch):
    monkeypatch.setattr(service, "BODY_SECONDS", 0.05)
    sent = []

    async def wait():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    places = anyio.Semaphore(1)
    asyncio.run(service.app(scope_of("/compress", places=places), wait, send))
    assert (sent[0]["status"], places.value) == (408, 1)


@pytest.fixture
def served():
    """Run the service as a user does and yield its host and port. It must log no error until Ctrl-C ends it."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "service:app", "--port", "0"]
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    try:
        started = next((line for line in server.stdout if "running on" in line), "")
        reader = threading.Thread(target=lambda: said.extend(server.stdout), daemon=True)
        reader.start()
        yield re.search(r"http://([\d.]+):(\d+)", started).groups()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, -signal.SIGINT)
        reader.join()
        assert [line for line in said if not line.startswith("INFO:")] == []
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_the_service_runs_under_uvicorn(served, images):
    host, port = served
    content = urllib.request.urlopen(f"http://{host}:{port}/compress?quality=7", image_file(images[0])).read()
    assert content == CODEC.compress(images[0], 7)


def test_idle_and_leaving_clients_do_not_block_others(served, images):
    host, port = served
    half = b"POST /compress HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234"
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for number, connection in enumerate(idle[100:]):  # some send the start of a request
            connection.sendall(half[: number % 50])
        for _ in range(20):
            with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=10) as response:
                assert response.status == 200
        with urllib.request.urlopen(f"http://{host}:{port}/compress", image_file(images[0])) as response:
            assert response.read() == CODEC.compress(images[0])
        for _ in range(5):
            with socket.create_connection((host, int(port))) as leaving:
                leaving.sendall(half)
    with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=10) as response:
        assert response.status == 200
