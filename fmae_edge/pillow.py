"""Let Pillow open and save .fmae files: `import fmae_edge.pillow` registers the format.

    from PIL import Image
    Image.open("bag.png").save("bag.fmae", quality=3)
    Image.open("bag.fmae").show()

A file names the bundle that made it. The built-in bundles are registered, and `register_bundle` adds others.
"""

import os
from contextlib import suppress
from functools import cache
from typing import IO, Any

from fmae_edge.runtime.bundle.built_in import built_in_names
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.extras import needs_extra
from fmae_edge.runtime.format.fmae_contents import FmaeFile
from fmae_edge.runtime.format.fmae_file import MOST_START_BYTES, SUFFIX, is_fmae, made_by, max_file_bytes

with needs_extra("cli"):
    from PIL import Image, ImageFile, ImageSequence

FORMAT = "FMAE"
_OPTIONS = ("quality", "effort", "max_bytes", "min_psnr")  # of `Codec.compress`
_MODES = {1: "L", 3: "RGB"}
_added: dict[str, Codec] = {}  # by the id of their bundle


def register_bundle(bundle: str | os.PathLike[str]) -> None:
    """Open files of a bundle, a folder or a built-in name, and save images of its size and mode with it.

    Raises BundleError if it cannot be read.
    """
    codec = Codec(bundle)
    bundle_id = codec.manifest.bundle_id
    _added.pop(bundle_id, None)
    _added[bundle_id] = codec


@cache
def _built_in() -> dict[str, Codec]:
    codecs = [Codec(name) for name in reversed(built_in_names())]  # saving prefers the last one: the default
    return {codec.manifest.bundle_id: codec for codec in codecs}


def _registered() -> dict[str, Codec]:
    """Return all codecs by the id of their bundle, the one registered last at the end."""
    return {key: codec for key, codec in _built_in().items() if key not in _added} | _added


class FmaeImageFile(ImageFile.ImageFile):
    """A .fmae file: one image in mode L or RGB, or a stack as frames. Opening it reads its first bytes only."""

    format = FORMAT
    format_description = "fmae-edge image"
    _frame = _loaded_frame = 0
    _parsed: tuple[Codec, FmaeFile] | None = None

    def _open(self) -> None:
        assert self.fp is not None
        maker = made_by(self.fp.read(MOST_START_BYTES))
        self._codecs = [codec for key, codec in _registered().items() if key.startswith(maker)]
        if not self._codecs:
            raise InputError(f"bundle {maker}... is not registered: pass it to fmae_edge.pillow.register_bundle")
        # Bundles whose ids begin alike differ in the check code
        codec = self._codecs[0] if len(self._codecs) == 1 else self._parse()[0]
        height, width = codec.manifest.image_shape[:2]
        self._size, self._mode = (width, height), _MODES[codec.manifest.image_channels]
        self._loaded_frame = -1

    def _parse(self) -> tuple[Codec, FmaeFile]:
        """Return the codec of the file, and its parsed content. Raises InputError if it is damaged."""
        if self._parsed is None:
            if self.fp is None or self.fp.closed:
                raise InputError("the image file is closed; load the image before")
            self.fp.seek(0)
            start = self.fp.read(MOST_START_BYTES)
            content = start + self.fp.read(max_file_bytes(start) + 1 - len(start))
            *others, last = self._codecs
            for codec in others:
                with suppress(InputError):
                    self._parsed = codec, codec.parse(content)
            self._parsed = self._parsed or (last, last.parse(content))
            if self._exclusive_fp:
                self.fp.close()
        return self._parsed

    @property
    def n_frames(self) -> int:
        """The number of images. Raises InputError if the file is damaged."""
        return len(self._parse()[1].payloads)

    @property
    def is_animated(self) -> bool:
        """Whether there is more than one image."""
        return self.n_frames > 1

    def seek(self, frame: int) -> None:
        """Go to the image with number `frame`, from 0. Raises EOFError if there is none."""
        if self._seek_check(frame):
            self._frame = frame

    def tell(self) -> int:
        """Return the number of the current image, from 0."""
        return self._frame

    def load(self) -> Any:
        """Decode the current image, unless that is done. Raises InputError if the file is damaged."""
        if self._loaded_frame != self._frame:
            codec, file = self._parse()
            self.im = Image.fromarray(codec.decompress(file, self._frame)).im
            self._loaded_frame = self._frame
        return super().load()


def _save(image: Image.Image, fp: IO[bytes], _: str | bytes) -> None:
    codec, options = _coding(image)
    fp.write(codec.compress(image, **options))


def _save_all(image: Image.Image, fp: IO[bytes], _: str | bytes) -> None:
    present = image.tell()
    sources = [image, *image.encoderinfo.get("append_images", [])]
    frames = [frame.copy() for source in sources for frame in ImageSequence.Iterator(source)]
    image.seek(present)
    if others := {(frame.size, frame.mode) for frame in frames} - {(image.size, image.mode)}:
        raise InputError(
            f"the stack has {others.pop()} and {(image.size, image.mode)}; resize or convert the images"
        )
    codec, options = _coding(image)
    fp.write(codec.compress_batch(frames, **options) if len(frames) > 1 else codec.compress(image, **options))


def _coding(image: Image.Image) -> tuple[Codec, dict[str, Any]]:
    """Return the codec of the bundle registered last for this size and mode, and the options of `save`."""
    for codec in reversed(_registered().values()):
        height, width = codec.manifest.image_shape[:2]
        if image.size == (width, height) and image.mode == _MODES[codec.manifest.image_channels]:
            return codec, {name: image.encoderinfo[name] for name in _OPTIONS if name in image.encoderinfo}
    raise InputError(
        f"no registered bundle is for images of size {image.size} in mode {image.mode}: call "
        "fmae_edge.pillow.register_bundle with one that is, or resize or convert the image"
    )


Image.register_open(FORMAT, FmaeImageFile, is_fmae)
Image.register_save(FORMAT, _save)
Image.register_save_all(FORMAT, _save_all)
Image.register_extension(FORMAT, SUFFIX)
