"""Compress and decompress rows in batches: callables for the engines that run jobs over many machines.

A batch is a dict of columns: an array of N rows by name. The result is a new dict with more columns. A row that is
invalid gets the status "failed" and an error; it never fails its batch. Ray calls these objects directly::

    ds.map_batches(Compress("bundle", quality=7), batch_size=1024)

An instance has only options and the name or path of the bundle, so it pickles small. Each process loads the graphs
once, at its first batch, on as many threads as the engine allots it through OMP_NUM_THREADS. Only numpy and
onnxruntime are needed; Pillow too for encoded images.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.payload_format import PayloadFormat
from fmae_edge.bulk.row_images import ENCODED, LONGEST_SHOWN, read_rows
from fmae_edge.measure.quality import psnr_per_image
from fmae_edge.runtime.arguments import as_flag, require_choice
from fmae_edge.runtime.bundle.built_in import as_bundle_folder, portable
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import choose_threads
from fmae_edge.runtime.engine.graphs import Precision, RunOptions, as_run_options
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import ArgumentError, InputError, shown
from fmae_edge.runtime.fmae_writer import as_options, as_quality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fmae_edge.data.image_conversion import Fit

DONE, FAILED = "done", "failed"  # values of the status of a row

Columns = dict[str, NDArray[Any]]


class _OnWorkers:
    """The bundle of a job, which each process of the job opens once."""

    def __init__(self, bundle: object, options: RunOptions) -> None:
        folder = as_bundle_folder(bundle)
        read = read_bundle(folder, only=())  # the manifest alone; workers must find the same one
        if options.threads is not None:
            choose_threads(options.threads)
        self.manifest_id, self.image_shape = read.manifest.bundle_id, read.manifest.image_shape
        self._open = (portable(folder), options, read.sha256)

    def codec(self) -> Codec:
        return _codec_of_process(*self._open)


@cache
def _codec_of_process(bundle: str | Path, options: RunOptions, sha256: str) -> Codec:
    """Return the codec of this process. Engines unpickle a callable for each task, and its graphs stay here."""
    return Codec(bundle, **options._asdict(), expect_id=sha256)


class Compress:
    """Add the payload of the image in each row of a batch.

    `column` has images: the bytes of image files, or uint8 levels (N, H, W[, 3]) or (N, H*W[*3]). Levels in lists
    may have any integer type. `quality`, `effort`, `precision` and `providers` are those of `Codec`, and workers
    need the providers; `fit` says how encoded images of another size are changed, as for the command line.
    `threads` is for onnxruntime, by default what the engine allots.

    The columns that are added: `payload`, bytes as `Codec.compress(image, quality, effort, bare=True)` returns
    them, None if the row failed; `bits`, 8 times its length; with `psnr`, the PSNR in dB of the decoded image, NaN
    if the row failed; `status`, "done" or "failed"; and `error`, a sentence, empty if the row is done. They
    replace columns of the same names. Payloads do not contain the quality and the bundle: keep `format` with them.

    Raises ArgumentError for invalid options and BundleError as `Codec` does. A call raises InputError if the batch
    has no `column` or that is an array of strings, and FmaeError if it has encoded images and Pillow is missing.

    Example::

        compress = Compress(quality=7, psnr=True)
        compress({"id": ids, "image": images})  # adds payload, bits, psnr, status, error
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        column: str = "image",
        quality: int | None = None,
        effort: int = 0,
        psnr: bool = False,
        fit: "Fit | None" = None,
        precision: Precision | None = None,
        threads: int | None = None,
        providers: ProvidersLike = None,
    ) -> None:
        settings = as_options(quality, effort, None)
        if fit is not None:
            from fmae_edge.data.image_conversion import Fit

            require_choice("fit", fit, get_args(Fit))
        self.column, self.psnr, self._fit = as_column(column), as_flag("psnr", psnr), fit
        self._quality, self._effort = settings.quality, settings.effort
        options = as_run_options(precision, threads, providers)
        self._bundle, self.precision = _OnWorkers(bundle, options), options.precision
        self.image_shape = self._bundle.image_shape
        if len(self.image_shape) == 3 and self.image_shape[2] != 3:
            raise InputError(f"bundle is for images of {self.image_shape[2]} channels; expected gray or RGB")
        self.format = PayloadFormat(self._bundle.manifest_id, self._quality, self.image_shape)

    def __call__(self, batch: Mapping[str, Any]) -> Columns:
        """Return the columns of `batch` and those that the class describes."""
        values, codec = column_of(batch, self.column), self._bundle.codec()
        pixels, errors = read_rows(values, self.column, self.image_shape, self._fit)
        good = [number for number, error in enumerate(errors) if not error]
        images = pixels if len(good) == len(pixels) else pixels[good]
        coded = codec.compress_batch(images, self._quality, self._effort, bare=True)
        payloads = np.full(len(pixels), None, object)
        payloads[good] = _array(coded)
        bits = np.zeros(len(pixels), np.int64)
        bits[good] = [8 * len(payload) for payload in coded]
        added: Columns = {"payload": payloads, "bits": bits}
        if self.psnr:
            decoded = codec.decompress_batch(coded, bare=True, quality=self._quality)
            added["psnr"] = np.full(len(pixels), np.nan)
            added["psnr"][good] = psnr_per_image(images, decoded)
        return {**_arrays(batch), **added, **_outcomes(errors)}


class Decompress:
    """Add the image of the payload in each row of a batch.

    `column` has bare payloads of one `quality`, or .fmae files of one image each if `quality` is None. If the
    batch has the columns `status` and `error` of `Compress`, rows that failed there keep their error. With `png`,
    images are the bytes of PNG files. Other options are those of `Compress`.

    The columns that are added: `image`, uint8 (N, H, W[, 3]), 0 if the row failed, or with `png` bytes, None if
    the row failed; `status` and `error` as `Compress` adds them.

    Raises as `Compress` does. A payload that is damaged or of another bundle decodes to a wrong image: only one
    that is too long fails. A damaged .fmae file fails.
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        quality: int | None = None,
        column: str = "payload",
        png: bool = False,
        precision: Precision | None = None,
        threads: int | None = None,
        providers: ProvidersLike = None,
    ) -> None:
        self.column, self.png = as_column(column), as_flag("png", png)
        self._quality = None if quality is None else as_quality(quality)
        options = as_run_options(precision, threads, providers)
        self._bundle, self.precision = _OnWorkers(bundle, options), options.precision
        self.bundle_id, self.image_shape = self._bundle.manifest_id, self._bundle.image_shape

    def at_quality(self, quality: int) -> "Decompress":
        """Return the same for bare payloads of this quality."""
        other = copy(self)
        other._quality = quality
        return other

    def __call__(self, batch: Mapping[str, Any]) -> Columns:
        """Return the columns of `batch` and those that the class describes."""
        values, codec = column_of(batch, self.column), self._bundle.codec()
        errors = [_not_bytes(value, self.column) for value in values]
        if "status" in batch and "error" in batch:
            before = zip(errors, batch["status"], batch["error"], strict=True)
            errors = [
                str(error or f"{self.column} has the status {FAILED}") if status == FAILED else own
                for own, status, error in before
            ]
        good = [number for number, error in enumerate(errors) if not error]
        decoded = self._images(codec, [bytes(values[number]) for number in good], good, errors)
        images = np.zeros((len(values), *self.image_shape), np.uint8)
        for number, image in decoded.items():
            images[number] = image
        return {
            **_arrays(batch),
            "image": self._encoded(images, errors) if self.png else images,
            **_outcomes(errors),
        }

    def _images(
        self, codec: Codec, contents: list[bytes], rows: list[int], errors: list[str]
    ) -> dict[int, NDArray[np.uint8]]:
        """Return the image of each of these rows by its number, and set the errors of those that have none."""
        try:
            return dict(zip(rows, self._decode(codec, contents), strict=True))
        except InputError as error:
            if len(rows) == 1:
                errors[rows[0]] = f"{self.column}: {error}"
                return {}
        each = zip(rows, contents, strict=True)  # one of them is invalid; find out which
        return dict(
            pair for row, content in each for pair in self._images(codec, [content], [row], errors).items()
        )

    def _decode(self, codec: Codec, contents: list[bytes]) -> Sequence[NDArray[np.uint8]] | NDArray[np.uint8]:
        if self._quality is not None:
            return codec.decompress_batch(contents, bare=True, quality=self._quality)
        files = [codec.parse(content) for content in contents]
        for file in files:
            if len(file.payloads) != 1:
                raise InputError(f"the file has {len(file.payloads)} images; expected one")
        return list(codec.decompress_iter(files))

    @staticmethod
    def _encoded(images: NDArray[np.uint8], errors: list[str]) -> NDArray[Any]:
        from fmae_edge.data.image_file import png_bytes

        encoded = np.full(len(images), None, object)
        for number, error in enumerate(errors):
            if not error:
                encoded[number] = png_bytes(images[number])
        return encoded


def as_column(name: object) -> str:
    """Return the name of a column. Raises ArgumentError if it is not a str or empty."""
    if not isinstance(name, str) or not name:
        raise ArgumentError("column", f"is {shown(name)}; expected the name of a column")
    return name


def column_of(batch: Mapping[str, Any], name: str) -> NDArray[Any]:
    """Return a column of a batch as an array. Raises InputError if there is none, with the names of the others."""
    if name not in batch:
        raise InputError(f"there is no column {name!r}; the columns are {', '.join(map(repr, batch)) or 'none'}")
    return _array(batch[name])


def _array(values: Any) -> NDArray[Any]:
    """Return a column as an array; a list of bytes or of arrays stays one of objects."""
    if isinstance(values, np.ndarray):
        return values
    objects = np.empty(len(values), object)
    for number, value in enumerate(values):
        objects[number] = value
    return objects


def _arrays(batch: Mapping[str, Any]) -> Columns:
    return {name: _array(values) for name, values in batch.items()}


def _outcomes(errors: list[str]) -> Columns:
    statuses = [FAILED if error else DONE for error in errors]
    return {"status": np.array(statuses, object), "error": np.array(errors, object)}


def _not_bytes(value: object, column: str) -> str:
    if value is None:
        return f"{column} is null"
    return "" if isinstance(value, ENCODED) else f"{column} is {shown(value, LONGEST_SHOWN)}; expected bytes"
