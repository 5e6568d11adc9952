"""fmae-edge as an HTTP service: an image goes in, its .fmae or .npy file comes out, and back as a PNG.

    pip install '.[cli]' fastapi uvicorn
    uvicorn --app-dir examples service:app --limit-concurrency 100
    curl --data-binary @samples/bag.png -o bag.fmae 'localhost:8000/compress?quality=7'
    curl --data-binary @bag.fmae -o bag.png localhost:8000/decompress

The body of a request is the file itself, so there is no form to take apart. No request takes more than a few
megabytes, whatever it sends; --limit-concurrency bounds how many there are. For more CPUs, add --workers.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio.to_thread
import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fmae_edge import Codec, InputError

MAX_BODY_BYTES = 64 * 1024  # an image of 28x28 is a few kilobytes as PNG or JPEG
THREADS = 2  # the entropy coder holds Python's lock for most of a call: more would only wait for each other
# What /docs shows: FastAPI does not see that the body is read
BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {"requestBody": {"content": {"application/octet-stream": BINARY}, "required": True}}
PngImagePlugin.MAX_TEXT_MEMORY = MAX_BODY_BYTES  # compressed text in a PNG could fill 64 MB by Pillow's own limit


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Codec]]:
    """Load the codec before the first request: one a process, which any number of threads use at once."""
    codec = Codec(threads=1)  # requests run beside each other, so one alone takes no more
    codec.decompress(codec.compress(np.zeros(codec.manifest.image_shape, np.uint8)))
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield {"codec": codec}


app = FastAPI(title="fmae-edge", lifespan=lifespan)


@app.exception_handler(InputError)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer a bad file with the sentence that says what is wrong with it."""
    return JSONResponse({"detail": str(error)}, 422)


async def read_body(request: Request) -> bytes:
    """Return the body of a request, or answer 413 and read no further once it is too long."""
    body = bytearray()
    if int(request.headers.get("content-length", 0)) <= MAX_BODY_BYTES:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"a file has at most {MAX_BODY_BYTES} bytes here", {"Connection": "close"})


Body = Annotated[bytes, Depends(read_body)]


# FastAPI runs these two in threads, as they are no coroutines: the event loop stays free
@app.post("/compress", response_class=Response, openapi_extra=FILE_BODY)
def compress(
    request: Request,
    body: Body,
    format: Literal["fmae", "npy"] = "fmae",
    quality: Annotated[int, Query(ge=1, le=9)] = 5,
) -> Response:
    """Return the .fmae file of a PNG or JPEG image, or its latent as a .npy file, which has no quality."""
    codec: Codec = request.state.codec
    image = read_gray(body, (codec.manifest.image_width, codec.manifest.image_height))
    if format == "fmae":
        return download(codec.compress(image, quality), "image.fmae")
    file = io.BytesIO()
    np.save(file, codec.encode(image))
    return download(file.getvalue(), "image.npy")


@app.post("/decompress", response_class=Response, openapi_extra=FILE_BODY)
def decompress(request: Request, body: Body, index: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Return the PNG of an image in a .fmae or .npy file: of a stack only the one at `index` is decoded."""
    codec: Codec = request.state.codec
    is_npy = body.startswith(npy.MAGIC_PREFIX)
    image = codec.decode(read_latent(body, index)) if is_npy else codec.decompress(body, index)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return download(file.getvalue(), "image.png", "image/png")


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Say that the service is up, and whose files it decompresses: those of this bundle."""
    return {"status": "ok", "bundle": request.state.codec.manifest.bundle_id}


def read_gray(body: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the pixels of an image file of `size`; any other is not unpacked, few bytes can hold gigabytes."""
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as image:  # of these, only reads the header
            found, mode = image.size, image.mode
            if found == size and mode in ("1", "L", "P", "RGB"):
                return np.asarray(image.convert("L"))
    except Exception as error:  # a damaged file raises whatever the decoder stumbles over
        raise InputError("not a PNG or JPEG file, or a damaged or far too large one") from error
    if found != size:
        raise InputError(f"the image is {found[0]}x{found[1]} and must be {size[0]}x{size[1]}")
    raise InputError(f"the image has mode {mode}; save it with 8 bits and no transparency")


def read_latent(body: bytes, index: int) -> NDArray[Any]:
    """Return a latent of a .npy file, with no pickle loaded and no memory taken on the word of the header."""
    stream = io.BytesIO(body)
    try:
        npy.read_magic(stream)
        shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
        values = np.frombuffer(body, dtype, offset=stream.tell())
        latent: NDArray[Any] = np.atleast_2d(values.reshape(shape, order="F" if fortran_order else "C"))[index]
    except Exception as error:  # a header is a Python literal: malformed ones raise all kinds of errors
        raise InputError(f"not a whole .npy file with a latent {index}") from error
    return latent.reshape(-1)  # one image a request, also of what is no latent


def download(content: bytes, name: str, media_type: str = "application/octet-stream") -> Response:
    """Return a file that browsers save under `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
