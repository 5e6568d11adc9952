"""The manifest of a bundle: its geometry, its files, and a record of how it was made and measured.

`manifest.json` has a format version, the geometry that the runtime needs, the SHA-256 and size of every other
file, and a record for people (training, quantisation, parity, quality, tools), which the runtime does not use. Its
`checksum` covers everything else in it, so a changed figure is detected, like a changed weight.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from fmae_edge.runtime.errors import BundleError, shown

# In version 1, all graphs take and return pixels in [0, 1]. From version 2 on, int8 graphs take and return 8-bit
# pixels. Version 3 adds a prior and the quantiser steps of each quality, which .fmae files need.
FORMAT_VERSION = 3
MANIFEST_NAME = "manifest.json"
PRIOR_NAME = "prior.safetensors"
GOLDEN_NAME = "golden.safetensors"
QUALITIES = 9
GRAPH_NAMES = ("encoder.onnx", "decoder.onnx", "encoder.fp32.onnx", "decoder.fp32.onnx")
DECODER_NAME = GRAPH_NAMES[3]  # the float32 decoder, whose weights the graph of its gradient uses
GRADIENT_NAME = "decoder.gradient.onnx"  # optional: only an encoder that searches for better latents uses it

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Limits on the memory that a manifest may make the runtime allocate, far above the sizes that this codec is for
_MAX_SIDE = 4096
_MAX_PIXELS = 1 << 26
_MAX_LATENT = 65536
MAX_CODED_LATENT = 16383  # in .fmae files: a payload has up to 4 bytes per latent and 1, and at most 65,535
_MAX_FILE_BYTES = 1 << 30
_MAX_NESTING = 32
_MAX_DIGITS = 20  # of an integer: the time to parse one grows with the square of its digits
_MAX_UNITS = 4096  # of a quality's step
_MAX_UNIT = 1e24  # the largest latent of any file is a finite float32
_MAX_FLOOR = 200.0  # dB, in absolute value
_MIN_STEP, _MAX_STEP = 1e-38, 1e36  # a step and 127 of them are finite, normal float32 numbers


class FileEntry(NamedTuple):
    """Size in bytes and SHA-256 (hex) of one file of a bundle."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "FileEntry":
        """Describe `content`."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


class Qualities(NamedTuple):
    """The quantisers of .fmae files: a symbol times `steps[quality - 1]` times `unit` is the latent value.

    `bit_costs` is the cost of one bit at each quality, in mean squared error of pixels in [0, 1]: the slope of the
    bundle's rate-distortion curve. With an effort above 0, the encoder uses it to weigh error against bits.

    `contrast_floors` is, for each quality, the ratio of contrast to error, in dB, that nearly all training images
    reach; spec/bundle.md has the formula. It is None in older bundles.
    """

    unit: float
    steps: tuple[int, ...]
    bit_costs: tuple[float, ...]
    contrast_floors: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the manifest."""
        return {name: value for name, value in self._asdict().items() if value is not None}


@dataclass(frozen=True)
class Manifest:
    """The content of a bundle's manifest.json.
    `latent_steps` has one quantiser step per latent dimension: an int8 symbol times its step is the latent value.
    `qualities` are those of .fmae files, None in bundles of format version 1 or 2. `record` is for people: nothing
    in it changes the results.
    """

    name: str
    image_channels: int
    image_height: int
    image_width: int
    latent_steps: tuple[float, ...]
    files: Mapping[str, FileEntry]
    record: Mapping[str, Any]
    qualities: Qualities | None = None

    @property
    def latent_size(self) -> int:
        """Number of latent values of one image."""
        return len(self.latent_steps)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image array: (height, width), or (height, width, channels) for several channels."""
        plane = (self.image_height, self.image_width)
        return plane if self.image_channels == 1 else (*plane, self.image_channels)

    @property
    def bundle_id(self) -> str:
        """16 hex digits of a hash over what decoding depends on: geometry, steps, decoder graphs and prior."""
        hashed: dict[str, Any] = {
            "image": [self.image_channels, self.image_height, self.image_width],
            "steps": list(self.latent_steps),
            "decoders": [self.files[name].sha256 for name in GRAPH_NAMES if name.startswith("decoder")],
        }
        if self.qualities:
            hashed["qualities"] = [self.qualities.unit, *self.qualities.steps]
            hashed["prior"] = self.files[PRIOR_NAME].sha256
        return hashlib.sha256(_canonical(hashed)).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the text of `manifest.json` with its checksum."""
        content = {
            "format_version": FORMAT_VERSION if self.qualities else FORMAT_VERSION - 1,
            "name": self.name,
            "bundle_id": self.bundle_id,
            "image": {
                "channels": self.image_channels,
                "height": self.image_height,
                "width": self.image_width,
                "preprocessing": "layout NCHW; int8 graphs: uint8 as it is; fp32 graphs: uint8 / 255 as float32",
            },
            "latent": {"size": self.latent_size, "steps": list(self.latent_steps)},
            **({"qualities": self.qualities.to_json()} if self.qualities else {}),
            "files": {name: entry._asdict() for name, entry in self.files.items()},
            "record": dict(self.record),
        }
        content["checksum"] = manifest_checksum(content)
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: bytes, where: str) -> "Manifest":
        """Parse `manifest.json`; `where` names the bundle in messages.

        Raises BundleError if the text is not a manifest, was altered, or has a newer format version.
        """
        try:
            # Decoded here, because json.loads also takes UTF-16, UTF-32, and surrogates in UTF-8
            content = json.loads(text.decode(), parse_int=_integer)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where}: {MANIFEST_NAME} is not valid JSON ({error})") from None
        if not isinstance(content, dict):
            raise BundleError(f"{where}: {MANIFEST_NAME} must be a JSON object")
        if not _is_plain(content, _MAX_NESTING):  # Python can read some JSON that it cannot write
            raise BundleError(
                f"{where}: {MANIFEST_NAME} contains NaN, infinity or more than {_MAX_NESTING} levels of nesting"
            )
        version = content.get("format_version")
        if type(version) is not int or version < 1:
            raise BundleError(
                f"{where}: {MANIFEST_NAME} has format_version {shown(version)}; expected an integer of 1 or more"
            )
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{where}: its format version is {version}, but this fmae-edge reads versions up to "
                f"{FORMAT_VERSION}: upgrade fmae-edge"
            )
        if content.get("checksum") != manifest_checksum(content):
            raise BundleError(
                f"{where}: {MANIFEST_NAME} does not match its own checksum, so it was altered or damaged: "
                "export the bundle again or get a fresh copy"
            )
        try:
            return cls._from_content(content, where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where}: {MANIFEST_NAME} is incomplete or invalid ({shown(error)})") from None

    @classmethod
    def _from_content(cls, content: dict[str, Any], where: str) -> "Manifest":
        def side(value: Any) -> bool:
            return type(value) is int and 1 <= value <= _MAX_SIDE

        def step(value: Any) -> bool:
            return isinstance(value, float) and _MIN_STEP <= value <= _MAX_STEP

        sides = [_valid(content["image"][name], side) for name in ("channels", "height", "width")]
        _valid(math.prod(sides), lambda pixels: pixels <= _MAX_PIXELS)
        steps = tuple(_valid(value, step) for value in content["latent"]["steps"])
        files = {
            _valid(name, lambda text: _FILE_NAME.fullmatch(text) is not None): FileEntry(
                _valid(entry["size"], lambda size: type(size) is int and 0 <= size <= _MAX_FILE_BYTES),
                _valid(entry["sha256"], lambda text: _SHA256.fullmatch(text) is not None),
            )
            for name, entry in content["files"].items()
        }
        for name in GRAPH_NAMES:
            _valid(name, files.__contains__)
        if "qualities" in content and len(steps) > MAX_CODED_LATENT:
            raise BundleError(
                f"{where}: has {len(steps)} latents per image; .fmae files can hold at most {MAX_CODED_LATENT}"
            )
        return cls(
            name=_valid(content["name"], lambda text: isinstance(text, str)),
            image_channels=sides[0],
            image_height=sides[1],
            image_width=sides[2],
            latent_steps=_valid(steps, lambda value: 1 <= len(value) <= _MAX_LATENT),
            files=files,
            record=_valid(content["record"], lambda value: isinstance(value, dict)),
            qualities=_qualities(content["qualities"], files) if "qualities" in content else None,
        )


def _qualities(content: dict[str, Any], files: Mapping[str, FileEntry]) -> Qualities:
    _valid(PRIOR_NAME, files.__contains__)
    steps = tuple(
        _valid(step, lambda step: type(step) is int and 1 <= step <= _MAX_UNITS) for step in content["steps"]
    )
    costs = tuple(
        _valid(cost, lambda cost: type(cost) is float and 0 <= cost <= 1) for cost in content["bit_costs"]
    )
    _valid((len(steps), len(costs)), (QUALITIES, QUALITIES).__eq__)
    floors = None
    if "contrast_floors" in content:
        floors = tuple(
            _valid(floor, lambda floor: type(floor) is float and abs(floor) <= _MAX_FLOOR)
            for floor in content["contrast_floors"]
        )
        _valid(len(floors), QUALITIES.__eq__)
    unit = _valid(content["unit"], lambda unit: type(unit) is float and _MIN_STEP <= unit <= _MAX_UNIT)
    return Qualities(unit, steps, costs, floors)


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _is_plain(value: Any, levels: int) -> bool:
    """Return whether all numbers in a JSON object or array are finite, and it has at most `levels` levels."""
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, float):
            plain = math.isfinite(part)
        else:
            plain = not isinstance(part, dict | list) or (levels > 1 and _is_plain(part, levels - 1))
        if not plain:
            return False
    return True


_Value = TypeVar("_Value")


def _valid(value: _Value, holds: Callable[[_Value], bool]) -> _Value:
    if not holds(value):
        raise ValueError(value)
    return value


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def manifest_checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of a manifest without its `checksum`."""
    covered = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(_canonical(covered)).hexdigest()
