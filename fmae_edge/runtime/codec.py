"""The codec: convert images to latents and .fmae files, and back, with the graphs and the prior of a bundle."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.arguments import BytesLike, ImageLike, LatentLike
from fmae_edge.runtime.bundle.built_in import as_bundle_folder, portable
from fmae_edge.runtime.bundle.bundle import Bundle, as_expected_id, read_bundle
from fmae_edge.runtime.bundle.manifest import Manifest
from fmae_edge.runtime.engine.cpus import choose_threads
from fmae_edge.runtime.engine.graphs import GRAPHS, Graphs, Precision, RunOptions, as_run_options, in_memory
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import InputError, shown
from fmae_edge.runtime.fmae_reader import FmaeReader, as_read_options
from fmae_edge.runtime.fmae_writer import FmaeWriter, as_options, as_quality
from fmae_edge.runtime.format.fmae_contents import FmaeFile, FmaeInfo
from fmae_edge.runtime.format.fmae_file import FmaeLike, as_max_images
from fmae_edge.runtime.images import as_batch
from fmae_edge.runtime.latent_coder import LatentCoder
from fmae_edge.runtime.latents import as_latent_batch, as_latent_dtype, as_symbol_batch
from fmae_edge.runtime.packets import PacketCodec


class Codec:
    """Compress and decompress images with `bundle`: a folder, or "default" or "detail", which are built in.

    `precision` chooses the int8 or the float32 graphs. `threads` limits the threads of onnxruntime; the default
    is FMAE_EDGE_THREADS, else OMP_NUM_THREADS, else the CPUs that this process may use. Fewer than 8 images always
    run on one thread. `providers` are names or (name, options) of onnxruntime's execution providers, which run the
    float32 graphs. `expect_id` pins the bundle: its id, which covers everything that affects decoding, or the
    SHA-256 of its manifest.json, which covers every byte. "detail" is never a folder, "./detail" always.

    Any number of threads may share a codec. It can be pickled, and used after a fork: each process loads the
    graphs at its first use. A call takes any number of images, a .fmae file at most 2^20.

    Raises BundleError if the bundle is incomplete or not the expected one, InputError if an argument is invalid,
    FmaeError if onnxruntime lacks a provider. docs/embedding.md describes memory, docs/providers.md providers.

    Example::

        codec = Codec()  # the bundle in the wheel, for 28x28 gray clothing; others have their own sizes
        latent = codec.encode(image)  # (28, 28) uint8 -> (64,) float32
        image = codec.decode(latent)  # (64,) float32 -> (28, 28) uint8
        content = codec.compress(image)  # (28, 28) uint8 -> bytes of a .fmae file
        image = codec.decompress(content)  # the bytes of such a file -> (28, 28) uint8
        packets = codec.packets.compress(images, 51)  # (N, 28, 28) uint8 -> radio packets of at most 51 bytes
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | None = None,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        providers: ProvidersLike = None,
        expect_id: str | None = None,
    ) -> None:
        folder, options = as_bundle_folder(bundle), as_run_options(precision, threads, providers)
        # The graphs of the other precision are not run, so they are not read either
        read = read_bundle(folder, only=GRAPHS[options.precision], expect_id=as_expected_id(expect_id))
        self._start(read, options)
        # Unpickling reads the bundle again, which must be the same one
        self._again = partial(type(self), portable(folder), **options._asdict(), expect_id=read.sha256)

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        providers: ProvidersLike = None,
    ) -> "Codec":
        """Return a codec of a bundle in memory, as `read_bundle` or `Bundle.of` returns it.

        Neither the codec nor a pickle of it needs the bundle's folder. The pickle has the bundle's files:
        2.2 MB of "default" and 7 MB of "detail" with int8 graphs. Other arguments are those of `Codec`.

        Raises as `Codec` does, and BundleError if a bundle that was read in part has lost a file since.
        """
        if not isinstance(bundle, Bundle):
            raise InputError(f"bundle is {shown(bundle)}; expected a Bundle, or use Codec(folder)")
        options = as_run_options(precision, threads, providers)
        kept, codec = in_memory(bundle, options.precision), cls.__new__(cls)
        codec._start(kept, options)
        codec._again = partial(cls.from_bundle, kept, **options._asdict())
        return codec

    def _start(self, bundle: Bundle, options: RunOptions) -> None:
        self._bundle = bundle
        self._graphs = Graphs(bundle, options.precision, choose_threads(options.threads)[0], options.providers)
        self._coder = LatentCoder(bundle, self._graphs)
        self._bundle_id = bundle.manifest.bundle_id  # computing this hash takes as long as coding an image
        self._writer = FmaeWriter(self._coder, self._bundle_id)
        self._reader = FmaeReader(self._coder, self._bundle_id)
        self.packets = PacketCodec(self._coder, self._bundle_id)

    def __reduce__(self) -> tuple[partial["Codec"], tuple[()]]:
        return self._again, ()

    def __repr__(self) -> str:
        shapes = f"images {self.manifest.image_shape}, latents ({self.manifest.latent_size},)"
        return f"<Codec {self.manifest.name!r} {self._bundle_id}: {shapes}, {self._graphs}>"

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
        batch, single = as_batch(images, self._coder.image_shape)
        latents = self._coder.stored_latents(batch, as_latent_dtype(dtype))
        return latents[0] if single else latents

    def decode(self, latents: LatentLike, quality: int | None = None) -> NDArray[np.uint8]:
        """Decode (latent,) to (H, W), or (N, latent) to (N, H, W) uint8; the bundle sets these sizes.

        `latents` are float32 or float16 values, or int8 symbols, as `encode` returns them. With `quality`, they
        are the symbols of a .fmae file of that quality, as `symbols` returns them, in any integer dtype.

        Raises InputError if `latents` have another shape or dtype, or are not finite; BundleError if `quality` is
        given and the bundle has no prior.
        """
        size = self._coder.latent_size
        if quality is None:
            batch, single = as_latent_batch(latents, size, "; for symbols of a .fmae file, give quality too")
            images = self._graphs.decode(batch)
        else:
            batch, single = as_symbol_batch(latents, size)
            images = self._coder.images_of(batch, as_quality(quality))
        return images[0] if single else images

    def compress(
        self,
        image: ImageLike,
        quality: int | None = None,
        effort: int = 0,
        max_bytes: int | None = None,
        *,
        min_psnr: float | None = None,
        bare: bool = False,
    ) -> bytes:
        """Return the bytes of a .fmae file of one image, as `encode` takes it, or of a stack of one.

        `quality` is 1 (fewest bytes) to 9, by default 5. `effort` is 0 (one pass) to 9: how long to search for
        fewer bytes and less error. `max_bytes` or `min_psnr` may choose the quality instead: the one with the best
        PSNR in a file of at most `max_bytes`, which takes about ten times as long, or the lowest one whose image,
        as this codec decodes it, has at least `min_psnr` dB. If there is none, effort 9 is tried, and then every
        pixel is stored, which `math.inf` does at once. On another CPU, pixels may differ by a level. With `bare`,
        the result is the payload alone, 7 bytes shorter. Detect damage yourself: any bytes decode to some image.

        Raises InputError if an argument is invalid or no quality fits, BundleError if the bundle has no prior.
        """
        return self._writer.one(image, as_options(quality, effort, max_bytes, min_psnr, bare))

    @overload
    def compress_batch(
        self, images: ImageLike, quality: int | None = ..., effort: int = ..., *, bare: Literal[True]
    ) -> list[bytes]: ...
    @overload
    def compress_batch(
        self,
        images: ImageLike,
        quality: int | None = ...,
        effort: int = ...,
        max_bytes: int | None = ...,
        names: Sequence[str] | None = ...,
        *,
        min_psnr: float | None = ...,
        bare: Literal[False] = ...,
    ) -> bytes: ...
    def compress_batch(
        self,
        images: ImageLike,
        quality: int | None = None,
        effort: int = 0,
        max_bytes: int | None = None,
        names: Sequence[str] | None = None,
        *,
        min_psnr: float | None = None,
        bare: bool = False,
    ) -> bytes | list[bytes]:
        """Return the bytes of one .fmae file of a stack of images (N, H, W), with one name per image if given.

        The options are those of `compress`. `max_bytes` limits the file, `min_psnr` holds for each image, which
        gets its own quality. With `bare`, returns a list of payloads. Raises as `compress` does.
        """
        return self._writer.stack(images, as_options(quality, effort, max_bytes, min_psnr, bare), names)

    def compress_iter(
        self,
        images: Iterable[ImageLike],
        quality: int | None = None,
        effort: int = 0,
        max_bytes: int | None = None,
        *,
        min_psnr: float | None = None,
        bare: bool = False,
        batch_size: int = 64,
    ) -> Iterator[bytes]:
        """Yield one .fmae file per image, as `compress` returns it; read at most `batch_size` images ahead.

        Images in batches are coded several times faster. Raises as `compress` does. An invalid option is refused
        at the call, an invalid image after the files of the images before it, with its number from 0.
        """
        return self._writer.one_of_each(images, as_options(quality, effort, max_bytes, min_psnr, bare), batch_size)

    def parse(self, content: FmaeLike, *, max_images: int | None = None) -> FmaeFile:
        """Parse and check the bytes of a .fmae file; the methods below take the result in place of the bytes.

        The result has the file's `quality` (0 if its images have their own `qualities`), `names`, and `payloads`,
        one per image, and whether it is a `single` image. `max_images` bounds time: 130 kB may claim a million.

        Raises InputError if `content` is not a complete .fmae file of this bundle, has more than `max_images`
        images, or was parsed by a codec of another bundle.
        """
        return self._reader.parse(content, as_max_images(max_images))

    def decompress(
        self,
        content: FmaeLike,
        index: int | None = None,
        *,
        max_images: int | None = None,
        bare: bool = False,
        quality: int | None = None,
    ) -> NDArray[np.uint8]:
        """Return the image (H, W) in a .fmae file, or the stack (N, H, W) if the file holds a stack.

        With `index`, decode and return only that image (H, W) of a stack. `max_images` is that of `parse`. With
        `bare`, `content` is a payload of that `quality`. Only one that is too long is refused: damaged ones, and
        those of another bundle or quality, decode to wrong images.

        Raises InputError as `parse` does, or if there is no image `index`.
        """
        return self._reader.image_or_stack(content, as_read_options(max_images, bare, quality), index)

    def decompress_batch(
        self,
        content: FmaeLike | Sequence[BytesLike],
        *,
        max_images: int | None = None,
        bare: bool = False,
        quality: int | None = None,
    ) -> NDArray[np.uint8]:
        """Return the images in a .fmae file as a stack (N, H, W), even if it holds a single image.

        With `bare`, `content` is a list of payloads. Raises as `decompress` does.
        """
        return self._reader.stack(content, as_read_options(max_images, bare, quality))

    def decompress_iter(
        self,
        contents: Iterable[FmaeLike],
        *,
        batch_size: int = 64,
        max_images: int | None = None,
        bare: bool = False,
        quality: int | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield every image (H, W) in .fmae files, or in payloads, and read at most `batch_size` images ahead.

        Raises as `decompress` does. An invalid file is refused after the images before it, with its number from 0.
        """
        return self._reader.each_image(contents, as_read_options(max_images, bare, quality), batch_size)

    def inspect(self, content: FmaeLike) -> FmaeInfo:
        """Describe a .fmae file without decoding it: number of images, quality, names, bytes per image.

        Raises as `decompress` does.
        """
        return self.parse(content).describe()

    def symbols(self, content: FmaeLike, *, max_images: int | None = None) -> NDArray[np.int64]:
        """Return the quantised latents (N, latent) in a .fmae file, in quantiser steps of the file's quality.

        They are the same on every machine. Raises as `decompress` does, and InputError if the file's quality is 0.
        """
        return self._reader.symbols(self.parse(content, max_images=max_images))

    def names(self, content: FmaeLike) -> tuple[str, ...] | None:
        """Return the names of the images in a .fmae file, None if it has no names.

        Raises as `decompress` does, and InputError if the names are invalid; the images can still be decoded.
        """
        return self.parse(content).names
