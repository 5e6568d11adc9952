"""The codec: convert images to latents and .fmae files, and back, with the graphs and the prior of a bundle."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.arguments import (
    ImageLike,
    LatentLike,
    as_batch_size,
    as_index,
    convert_each,
    group_ahead,
    slices,
)
from fmae_edge.runtime.bundle.built_in import as_bundle_folder, portable
from fmae_edge.runtime.bundle.bundle import Bundle, as_expected_id, read_bundle
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME, PRIOR_NAME, Manifest
from fmae_edge.runtime.engine.cpus import choose_threads
from fmae_edge.runtime.engine.graphs import GRAPHS, Graphs, Precision, as_precision
from fmae_edge.runtime.errors import InputError, shown
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY, FmaeWriter, as_options, as_quality
from fmae_edge.runtime.format.fmae_file import FmaeFile, FmaeInfo, FmaeLike, as_fmae_file, as_max_images
from fmae_edge.runtime.format.payload_index import MAX_IMAGES
from fmae_edge.runtime.images import as_batch, as_one
from fmae_edge.runtime.latent_coder import LatentCoder
from fmae_edge.runtime.latents import as_latent_batch, as_latent_dtype, as_symbol_batch, to_dtype


class Codec:
    """Compress and decompress images with `bundle`: a folder, or "default" or "detail", which are built in.

    `precision` chooses the int8 or the float32 graphs. `threads` limits the threads of onnxruntime; the default
    is FMAE_EDGE_THREADS, else OMP_NUM_THREADS, else the CPUs that this process may use. Fewer than 8 images always
    run on one thread. `expect_id` pins the bundle: its id, which covers everything that affects decoding, or the
    SHA-256 of its manifest.json, which covers every byte. "detail" is never a folder, "./detail" always.

    Any number of threads may share a codec. It can be pickled, and used after a fork: each process loads the
    graphs at its first use. From a coroutine, `await asyncio.to_thread(codec.compress, image)`. A call takes any
    number of images, a .fmae file at most 2^20. It needs under 64 MB in addition to its arguments, its result and
    the graphs. With several hundred thousand images, `compress_batch` needs more for copies of its file, and
    `names` and `inspect` for the names.

    Raises BundleError if the bundle is incomplete or not the expected one, InputError if an argument is invalid.

    Example::

        codec = Codec()  # the bundle in the wheel, for 28x28 gray clothing; others have their own sizes
        latent = codec.encode(image)  # (28, 28) uint8 -> (64,) float32
        image = codec.decode(latent)  # (64,) float32 -> (28, 28) uint8
        content = codec.compress(image)  # (28, 28) uint8 -> bytes of a .fmae file
        image = codec.decompress(content)  # the bytes of such a file -> (28, 28) uint8
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | None = None,
        *,
        precision: Precision = "int8",
        threads: int | None = None,
        expect_id: str | None = None,
    ) -> None:
        precision = as_precision(precision)
        folder = as_bundle_folder(bundle)
        # The graphs of the other precision are not run, so they are not read either
        read = read_bundle(folder, only=GRAPHS[precision], expect_id=as_expected_id(expect_id))
        self._start(read, precision, threads)
        # Unpickling reads the bundle again, which must be the same one
        again, sha256 = portable(folder), read.sha256
        self._again = partial(type(self), again, precision=precision, threads=threads, expect_id=sha256)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: Precision = "int8", threads: int | None = None) -> "Codec":
        """Return a codec of a bundle in memory, as `read_bundle` or `Bundle.of` returns it.

        Neither the codec nor a pickle of it needs the bundle's folder. The pickle contains the bundle's files:
        about a megabyte with int8 graphs. `precision` and `threads` are those of `Codec`.

        Raises BundleError if the bundle was read in part and a file is no longer in its folder, InputError if an
        argument is invalid.
        """
        if not isinstance(bundle, Bundle):
            raise InputError(f"bundle is {shown(bundle)}; expected a Bundle, or use Codec(folder)")
        precision = as_precision(precision)
        wanted = (*GRAPHS[precision], PRIOR_NAME, *((GRADIENT_NAME, DECODER_NAME) if bundle.has_gradient else ()))
        kept = replace(bundle, files={name: bundle.file(name) for name in wanted if name in bundle.manifest.files})
        codec = cls.__new__(cls)
        codec._start(kept, precision, threads)
        codec._again = partial(cls.from_bundle, kept, precision=precision, threads=threads)
        return codec

    def _start(self, bundle: Bundle, precision: Precision, threads: int | None) -> None:
        self._bundle = bundle
        self._precision = precision
        self._threads = choose_threads(threads)[0]
        self._graphs = Graphs(bundle, precision, self._threads)
        self._coder = LatentCoder(bundle, self._graphs)
        self._steps = np.array(bundle.manifest.latent_steps, np.float32)
        self._bundle_id = bundle.manifest.bundle_id  # computing this hash takes as long as coding an image
        self._writer = FmaeWriter(self._coder, self._bundle_id)

    def __reduce__(self) -> tuple[partial["Codec"], tuple[()]]:
        return self._again, ()

    def __repr__(self) -> str:
        manifest = self.manifest
        return (
            f"<Codec {manifest.name!r} {self._bundle_id}: images {manifest.image_shape}, "
            f"latents ({manifest.latent_size},), {self._precision}, threads={self._threads}>"
        )

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: geometry, quantiser steps, measured figures."""
        return self._bundle.manifest

    def encode(self, images: ImageLike, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Encode (H, W) to (latent,), or (N, H, W) to (N, latent); the bundle sets these sizes.

        Images of an RGB bundle are (H, W, 3) and (N, H, W, 3), here and in all other methods.
        `images` are uint8, or floating point in [0, 1]. `dtype` is float32 or float16 for latent values, int8 for
        symbols in the bundle's quantiser steps, clipped to 127 steps.

        Raises InputError if `images` have another shape, dtype or range, or are Pillow images in another mode than
        L, or RGB for an RGB bundle; BundleError if the encoder returns NaN or infinity.
        """
        stored_as = as_latent_dtype(dtype)
        batch, single = as_batch(images, self.manifest.image_shape)
        latents = np.empty((len(batch), self.manifest.latent_size), stored_as)
        for part in slices(len(batch), self._coder.images_at_once):
            latents[part] = to_dtype(self._graphs.encode(batch[part]), stored_as, self._steps)
        return latents[0] if single else latents

    def decode(self, latents: LatentLike, quality: int | None = None) -> NDArray[np.uint8]:
        """Decode (latent,) to (H, W), or (N, latent) to (N, H, W) uint8; the bundle sets these sizes.

        `latents` are float32 or float16 values, or int8 symbols, as `encode` returns them. With `quality`, they
        are the symbols of a .fmae file of that quality, as `symbols` returns them, in any integer dtype.

        Raises InputError if `latents` have another shape or dtype, or are not finite; BundleError if `quality` is
        given and the bundle has no prior.
        """
        size = self.manifest.latent_size
        if quality is None:
            batch, single = as_latent_batch(latents, size, "; for symbols of a .fmae file, give quality too")
            images = self._graphs.decode(batch)
        else:
            quality = as_quality(quality)
            batch, single = as_symbol_batch(latents, size)
            images = self._coder.images_of(batch, quality)
        return images[0] if single else images

    def compress(
        self, image: ImageLike, quality: int = DEFAULT_QUALITY, effort: int = 0, max_bytes: int | None = None
    ) -> bytes:
        """Return the bytes of a .fmae file of one image, as `encode` takes it, or of a stack of one.

        `quality` is 1 (fewest bytes) to 9. With `max_bytes`, all nine qualities are tried, and the result is the
        file with the best PSNR that is no longer than that; `quality` is not used. This takes about ten times as
        long as one quality, because the files that fit are decoded too. `effort` is the number of rounds of search
        for cheaper symbols: 0 (one pass) to 9.

        Raises InputError if an argument is invalid or no quality fits, BundleError if the bundle has no prior.
        """
        options = as_options(quality, effort, max_bytes)
        return next(self._writer.one_each(as_one(image, self.manifest.image_shape), options))

    def compress_batch(
        self,
        images: ImageLike,
        quality: int = DEFAULT_QUALITY,
        effort: int = 0,
        max_bytes: int | None = None,
        names: Sequence[str] | None = None,
    ) -> bytes:
        """Return the bytes of one .fmae file of a stack of images (N, H, W), with one name per image if given.

        The options are those of `compress`. `max_bytes` limits the size of the file, and the best PSNR is that of
        the mean squared error over all images. Raises as `compress` does.
        """
        options = as_options(quality, effort, max_bytes)
        batch, single = as_batch(images, self.manifest.image_shape)
        if single:
            raise InputError("compress_batch takes a stack of images; use compress for one")
        if len(batch) > MAX_IMAGES:
            raise InputError(f"a file holds at most {MAX_IMAGES} images, got {len(batch)}")
        if names is not None:
            from fmae_edge.runtime.format.image_names import as_names  # most files have no names

            names = as_names(names, len(batch))
        return self._writer.stack(batch, options, names)

    def parse(self, content: FmaeLike, *, max_images: int | None = None) -> FmaeFile:
        """Parse and check the bytes of a .fmae file; the methods below take the result in place of the bytes.

        The result has the file's `quality` and `names`, its number of images, `len(file.payloads)`, and whether it
        holds a `single` image or a stack. `max_images` bounds time and memory: 130 kB may claim a million images.

        Raises InputError if the bytes are not a complete .fmae file of this bundle, if it has more than
        `max_images` images, or if it was parsed by a codec of another bundle.
        """
        file = as_fmae_file(content, self._bundle_id, as_max_images(max_images))
        self._coder.require_short(file.payloads)
        return file

    def decompress(
        self, content: FmaeLike, index: int | None = None, *, max_images: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the image (H, W) in a .fmae file, or the stack (N, H, W) if the file holds a stack.

        With `index`, decode and return only that image (H, W) of a stack. `max_images` is that of `parse`.

        Raises InputError as `parse` does, or if there is no image `index`.
        """
        file = self.parse(content, max_images=max_images)
        if index is None:
            images = self._coder.images(file.payloads, file.quality)
            return images[0] if file.single else images
        number = as_index(index, len(file.payloads))
        image: NDArray[np.uint8] = self._coder.images(file.payloads[number : number + 1], file.quality)[0]
        return image

    def decompress_batch(self, content: FmaeLike, *, max_images: int | None = None) -> NDArray[np.uint8]:
        """Return the images in a .fmae file as a stack (N, H, W), even if it holds a single image.

        Raises as `decompress` does.
        """
        file = self.parse(content, max_images=max_images)
        return self._coder.images(file.payloads, file.quality)

    def inspect(self, content: FmaeLike) -> FmaeInfo:
        """Describe a .fmae file without decoding it: number of images, quality, names, bytes per image.

        Raises as `decompress` does.
        """
        return self.parse(content).describe()

    def symbols(self, content: FmaeLike, *, max_images: int | None = None) -> NDArray[np.int64]:
        """Return the quantised latents (N, latent) in a .fmae file, in quantiser steps of the file's quality.

        They are the same on every machine. Raises as `decompress` does.
        """
        file = self.parse(content, max_images=max_images)
        return self._coder.symbols(file.payloads, file.quality)

    def names(self, content: FmaeLike) -> tuple[str, ...] | None:
        """Return the names of the images in a .fmae file, None if it has no names.

        Raises as `decompress` does, and InputError if spec/format.md does not allow the names; the images can
        still be decoded.
        """
        return self.parse(content).names

    def compress_iter(
        self,
        images: Iterable[ImageLike],
        quality: int = DEFAULT_QUALITY,
        effort: int = 0,
        max_bytes: int | None = None,
        *,
        batch_size: int = 64,
    ) -> Iterator[bytes]:
        """Yield one .fmae file per image, as `compress` returns it; read at most `batch_size` images ahead.

        The options are those of `compress`; images in batches are coded several times faster. Raises as `compress`
        does. An invalid option is refused at the call, an invalid image after the files of the images before it,
        with its number from 0.
        """
        options = as_options(quality, effort, max_bytes)
        batch_size, shape = as_batch_size(batch_size), self.manifest.image_shape
        batches = convert_each("images", "image", images, lambda image: as_one(image, shape))

        def files() -> Iterator[bytes]:
            for group in group_ahead(batches, batch_size, lambda batch: batch.dtype):
                yield from self._writer.one_each(np.concatenate(group), options)

        return files()

    def decompress_iter(
        self, contents: Iterable[FmaeLike], *, batch_size: int = 64, max_images: int | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield every image (H, W) in .fmae files, and read at most `batch_size` images ahead.

        `max_images` limits each file. Raises as `decompress` does. An invalid file is refused after the images of
        the files before it, with its number from 0.
        """
        batch_size, most = as_batch_size(batch_size), as_max_images(max_images)
        files = convert_each("contents", "file", contents, lambda each: self.parse(each, max_images=most))
        payloads = ((file.quality, payload) for file in files for payload in file.payloads)

        def images() -> Iterator[NDArray[np.uint8]]:
            for group in group_ahead(payloads, batch_size, lambda pair: pair[0]):
                yield from self._coder.images([payload for _, payload in group], group[0][0])

        return images()
