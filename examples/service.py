"""Serve fmae-edge over HTTP: send an image and get a .fmae or .npy file, send that file and get a PNG.

    pip install '.[cli]' fastapi uvicorn
    uvicorn --app-dir examples service:app
    curl --data-binary @samples/bag.png -o bag.fmae 'localhost:8000/compress?quality=7'
    curl --data-binary @bag.fmae -o bag.png localhost:8000/decompress

With FMAE_EDGE_BUNDLE=FOLDER it serves that bundle, for images of its size, gray or RGB. FMAE_EDGE_BUNDLE=detail is
the built-in bundle of that name.

The body of a request is the file itself, without a form around it. A request takes a few megabytes at most, and at
most REQUESTS are in progress. Uvicorn's own --limit-concurrency counts idle connections too, so 100 idle clients
would block all others. Here an idle connection costs only a file descriptor. On a public network, put a proxy in
front that closes idle connections. For more CPUs, add --workers.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import PngImagePlugin
from starlette.requests import ClientDisconnect

from fmae_edge import Codec, InputError
from fmae_edge.data.image_file import load_image, png_bytes
from fmae_edge.runtime.format.npy_file import MAGIC, dump_latents, load_latents

MAX_BODY_BYTES = 64 * 1024  # an image of 28x28 is a few kilobytes as PNG or JPEG; those of a bundle may be larger
MAX_IMAGES = 10_000  # per .fmae file: 64 KB can claim half a million empty images
BODY_SECONDS = 10  # the time that a client has to send its file
REQUESTS = 100  # requests with a file that may be in progress at once
THREADS = 2  # more would only wait, because the entropy coder holds Python's lock for most of a call
# For the page /docs: FastAPI does not see that the body is read
BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {"requestBody": {"content": {"application/octet-stream": BINARY}, "required": True}}
PngImagePlugin.MAX_TEXT_MEMORY = MAX_BODY_BYTES  # compressed text in a PNG could fill 64 MB by Pillow's own limit


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Load the codec before the first request. A process has one codec, which all threads share."""
    # Requests run in parallel, so each uses one thread
    codec = Codec(os.environ.get("FMAE_EDGE_BUNDLE"), threads=1)
    codec.decompress(codec.compress(np.zeros(codec.manifest.image_shape, np.uint8)))
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield {"codec": codec, "places": anyio.Semaphore(REQUESTS)}


app = FastAPI(title="fmae-edge", lifespan=lifespan)


@app.exception_handler(InputError)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer 422 with the sentence that says what is wrong with the file."""
    return JSONResponse({"detail": str(error)}, 422)


@app.exception_handler(ClientDisconnect)
async def end_request(_: Request, __: Exception) -> Response:
    """End the request of a client that has left, without a traceback in the log."""
    return Response(status_code=400)


def most_body_bytes(codec: Codec) -> int:
    """Return the size of the largest file that a request may have: twice an uncompressed image, or 64 KiB."""
    return max(MAX_BODY_BYTES, 2 * math.prod(codec.manifest.image_shape))


async def read_body(request: Request) -> bytes:
    """Return the body of a request. Stop reading and answer 413 if it is too long, or 408 if it is too slow."""
    body = bytearray()
    most = most_body_bytes(request.state.codec)
    try:
        with anyio.fail_after(BODY_SECONDS):
            if int(request.headers.get("content-length", 0)) <= most:
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
    except TimeoutError:
        raise HTTPException(
            408, f"the file took more than {BODY_SECONDS} seconds", {"Connection": "close"}
        ) from None
    raise HTTPException(413, f"the file is larger than the limit of {most} bytes", {"Connection": "close"})


async def admit(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of a request, or answer 503 while too many others are in progress."""
    places: anyio.Semaphore = request.state.places
    try:
        places.acquire_nowait()
    except anyio.WouldBlock:
        headers = {"Connection": "close", "Retry-After": "1"}
        raise HTTPException(503, f"{REQUESTS} requests are in progress; try again", headers) from None
    try:
        yield await read_body(request)
    finally:
        places.release()


Body = Annotated[bytes, Depends(admit)]


# FastAPI runs these two functions in threads, because they are not coroutines. The event loop stays free
@app.post("/compress", response_class=Response, openapi_extra=FILE_BODY)
def compress(
    request: Request,
    body: Body,
    format: Literal["fmae", "npy"] = "fmae",
    quality: Annotated[int, Query(ge=1, le=9)] = 5,
) -> Response:
    """Return the .fmae file of an image file, or its latent as a .npy file, which ignores `quality`."""
    codec: Codec = request.state.codec
    manifest = codec.manifest
    size = (manifest.image_height, manifest.image_width)
    image, _ = load_image(body, "the file", size, 3 if manifest.image_channels == 3 else 1)
    if format == "fmae":
        return download(codec.compress(image, quality), "image.fmae")
    return download(dump_latents(codec.encode(image)), "image.npy")


@app.post("/decompress", response_class=Response, openapi_extra=FILE_BODY)
def decompress(request: Request, body: Body, index: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Return the PNG of an image in a .fmae or .npy file. Only the image at `index` of a stack is decoded."""
    codec: Codec = request.state.codec
    if body.startswith(MAGIC):
        image = codec.decode(read_latent(body, index, codec.manifest.latent_size))
    else:
        image = codec.decompress(body, index, max_images=MAX_IMAGES)
    return download(png_bytes(image), "image.png", "image/png")


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Return the status, and the id of the bundle whose files the service decompresses."""
    return {"status": "ok", "bundle": request.state.codec.manifest.bundle_id}


def read_latent(body: bytes, index: int, size: int) -> NDArray[Any]:
    """Return a latent (size,) of a .npy file. Pickles are refused, and no memory is allocated for a false size."""
    latents = np.atleast_2d(load_latents(body, size, "the file"))
    if index >= len(latents):
        raise InputError(f"the file has no latent {index}; it has {len(latents)}, counted from 0")
    latent: NDArray[Any] = latents[index]
    return latent


def download(content: bytes, name: str, media_type: str = "application/octet-stream") -> Response:
    """Return a response that browsers save as a file called `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
