"""`fmae-edge info`."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmae_edge.bulk.sources import STREAM, Source, as_path, named, read_compressed
from fmae_edge.commands.console import UsageError, format_table, json_line, print_line, printable
from fmae_edge.commands.options import BundleOption, as_bundle

if TYPE_CHECKING:
    from fmae_edge.runtime.bundle.manifest import Manifest
    from fmae_edge.runtime.format.fmae_contents import FmaeInfo
    from fmae_edge.runtime.packet_set import Packet

_NAMES_SHOWN = 5


def _as_target(text: str | Path) -> Path:
    path = as_path(text)
    return path if _is_file(path) else as_bundle(text)


def info(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET",
            help="A .fmae file, a packet (.fmpk), - for standard input, or a bundle: its folder, or the name of a "
            "built-in one. [default: default]",
            parser=_as_target,
        ),
    ] = None,
    bundle: BundleOption = None,
    list_: Annotated[bool, typer.Option("--list", help="List the built-in bundles.")] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object, for programs; for a bundle, its manifest. With --list, one per bundle.",
        ),
    ] = False,
) -> None:
    """Show the contents of a .fmae file, a packet or a bundle.

    For a .fmae file: number of images, quality, names, bytes per image. No image is decoded, but the check codes
    are compared, which needs the bundle that made the file. For a packet: the numbers of its images.

    For a bundle: its properties and measurements. Every file in it is checked first.

    --list shows the built-in bundles: their names, images, ids and sizes, and bytes per image and pooled PSNR from
    quality 1 to 9, as measured when they were made: all test images in one .fmae file, without effort.

    Example: fmae-edge info img.fmae
    Example: fmae-edge info img.fmae --bundle bundle
    Example: fmae-edge info detail
    Example: fmae-edge info --list
    """
    if list_:
        if target is not None or bundle is not None:
            raise UsageError(f"--list shows all built-in bundles; use it without {target or '--bundle'}")
        bundles = _built_in_bundles()
        print_line("\n".join(map(json_line, bundles)) if json else _list(bundles))
        return
    if target is not None and _is_file(target):
        from fmae_edge.bulk.packets import ReceivedPackets, is_packet
        from fmae_edge.runtime.codec import Codec

        source = Source(target)
        if is_packet(source):
            packet = ReceivedPackets(Codec(bundle)).load(source)
            record = {"file": str(source), **_packet_facts(packet)}
            print_line(json_line(record) if json else _describe_packet(source, packet))
            return
        content = read_compressed(source, "neither a .fmae file nor the folder of a bundle", latents=False)
        with named(source):
            header = Codec(bundle).inspect(content)
        record = {"file": str(source), **header._asdict()}
        print_line(json_line(record) if json else _describe_file(source, header))
        return
    if target is not None and bundle is not None:
        raise UsageError(f"--bundle is for .fmae files, but {target} is not a file; use only one of them")

    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
    from fmae_edge.runtime.errors import BundleError

    path = target or bundle or DEFAULT_BUNDLE
    manifest = read_bundle(path).manifest
    if json:
        from json import loads

        print_line(json_line(loads(manifest.to_json())))
        return
    try:
        text = _describe_bundle(path, manifest)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BundleError(f"{path}: the record in its manifest is incomplete ({error!r}); try --json") from None
    print_line(text)


def _is_file(target: Path) -> bool:
    """Return whether `target` is the path of a .fmae file, which may not exist, and not of a bundle."""
    from fmae_edge.runtime.format.fmae_file import SUFFIX
    from fmae_edge.runtime.format.packet import SUFFIX as PACKET_SUFFIX

    suffixes = (SUFFIX, PACKET_SUFFIX)
    return not target.is_dir() and (target == STREAM or target.is_file() or target.suffix.lower() in suffixes)


def _packet_facts(packet: "Packet") -> dict[str, object]:
    return {
        "bundle_id": packet.bundle_id,
        "packet_bytes": packet.packet_bytes,
        "numbers": list(packet.numbers),
        "qualities": list(packet.qualities),
        "ends_set": packet.ends_set,
    }


def _describe_packet(source: Source, packet: "Packet") -> str:
    first, last = packet.numbers[0], packet.numbers[-1]
    qualities = sorted(set(packet.qualities))
    return _lines(
        {
            "packet": f"{source}, {packet.packet_bytes} bytes",
            "bundle": f"{packet.bundle_id}, the check code matches",
            "images": f"{len(packet.numbers)}, numbers {first} to {last}{' (the last)' * packet.ends_set}",
            "quality": ", ".join(map(str, qualities)),
        }
    )


def _describe_file(source: Source, header: "FmaeInfo") -> str:
    total, payload = sum(header.payload_bytes), f"{sum(header.payload_bytes)} bytes"
    if header.images > 1:
        least, most = min(header.payload_bytes), max(header.payload_bytes)
        payload = f"{total / header.images:.2f} bytes per image, from {least} to {most}; {total} bytes in all"
    names = ", ".join(header.names[:_NAMES_SHOWN]) if header.names else "none"
    if header.names and len(header.names) > _NAMES_SHOWN:
        names += ", ... (--json lists all)"
    return _lines(
        {
            "file": f"{source}, {header.file_bytes} bytes, version {header.format_version} of the .fmae format",
            "bundle": f"{header.bundle_id}, all check codes match",
            "images": f"{header.images}{'' if header.single else ', as a stack'}",
            "quality": _describe_qualities(header),
            "payload": payload,
            "names": header.names_error or names,
        }
    )


def _describe_qualities(header: "FmaeInfo") -> str:
    if header.quality:
        return str(header.quality)
    if not any(header.qualities):
        return "every pixel as it was" if header.images else "none"
    exact = header.qualities.count(0)
    own = [f"{count} of quality {each}" for each in range(1, 10) if (count := header.qualities.count(each))]
    return ", ".join([*([f"{exact} with every pixel as it was"] if exact else []), *own])


def _describe_bundle(path: Path, manifest: "Manifest") -> str:
    from fmae_edge.model.chosen_epoch import chosen_epoch
    from fmae_edge.runtime.versions import versions

    record = manifest.record
    recipe, metrics = record["training"]["recipe"], record["training"]["metrics"]
    kept = chosen_epoch(metrics)
    error = f"test MSE {kept['test_mse']:.5f}" if "test_mse" in kept else f"validation MSE {kept['val_mse']:.5f}"
    epochs = f"{len(metrics)} of {recipe['epochs']} epochs"
    if recipe["epochs"] is None:
        minutes = recipe["minutes"]
        epochs = f"{len(metrics)} epoch{'s' * (len(metrics) > 1)} in {minutes:g} minute{'s' * (minutes != 1)}"
    if kept is not metrics[-1]:
        epochs += f", kept epoch {kept['epoch']}"
    rate = f", rate-distortion {recipe['rate_distortion']}" if recipe.get("rate_distortion") else ""
    parity = record["parity"]
    gates = "all gates passed" if not parity["failures"] else "; ".join(parity["failures"])
    size = f"{manifest.image_width}x{manifest.image_height}"
    if manifest.image_width != manifest.image_height:
        size += " (width x height)"
    facts = {
        "bundle": f"{manifest.name} ({manifest.bundle_id}), all files match their SHA-256",
        "in": path,
        "images": f"{size}, {manifest.image_channels} channel(s)",
        "latents": f"{manifest.latent_size} values",
        "training": f"{epochs}, batch {recipe['batch_size']}, "
        f"lr {recipe['lr']}, seed {recipe['seed']}{rate}; {error}",
        "parity": f"on {parity['images']} images: {gates}",
        "int8": f"graphs for {record.get('quantisation', {}).get('int8_target', 'an unknown kind of CPU')}",
        "runtime": ", ".join(f"{name} {release}" for name, release in versions().items()),
        "made with": ", ".join(f"{tool} {release}" for tool, release in record["tools"].items()),
    }
    sizes = [(name, str(entry.size)) for name, entry in manifest.files.items()]
    qualities = [
        (name, f"{each['psnr_pooled']:.3f} dB", f"{each['psnr_per_image']:.3f} dB", f"{each['ssim']:.4f}")
        for name, each in record["quality"].items()
    ]
    tables = [
        format_table(("file", "bytes"), sizes),
        format_table(("measured on 8-bit test images", "PSNR pooled", "per image", "SSIM"), qualities),
    ]
    if manifest.qualities:
        rates = [
            (name, f"{each['bytes_per_image']:.2f}", f"{each['psnr_pooled']:.3f} dB", f"{each['ssim']:.4f}")
            for name, each in record["rate"].items()
        ]
        tables.append(format_table(("one .fmae file of them", "bytes per image", "PSNR pooled", "SSIM"), rates))
    said = [printable(str(sentence)) for sentence in record.get("verdict", {}).get("sentences", ())]
    return "\n\n".join([_lines(facts), *(["\n".join(said)] if said else []), *tables])


def _built_in_bundles() -> Iterator[dict[str, Any]]:
    """Yield facts about each built-in bundle, with bytes per image and pooled PSNR of each quality."""
    from fmae_edge.runtime.bundle.built_in import built_in_folder, built_in_names
    from fmae_edge.runtime.bundle.bundle import read_bundle
    from fmae_edge.runtime.bundle.manifest import QUALITIES

    for name in built_in_names():
        folder = built_in_folder(name)
        manifest = read_bundle(folder, only=()).manifest
        rates = [manifest.record["rate"][f"quality {quality}"] for quality in range(1, QUALITIES + 1)]
        yield {
            "name": name,
            "bundle_id": manifest.bundle_id,
            "folder": str(folder),
            "width": manifest.image_width,
            "height": manifest.image_height,
            "channels": manifest.image_channels,
            "latents": manifest.latent_size,
            "bytes": sum(file.stat().st_size for file in folder.iterdir()),
            "qualities": [
                {"quality": quality, "bytes_per_image": each["bytes_per_image"], "psnr": each["psnr_pooled"]}
                for quality, each in enumerate(rates, 1)
            ],
        }


def _list(bundles: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for each in bundles:
        first, last = each["qualities"][0], each["qualities"][-1]
        rows.append(
            (
                each["name"],
                f"{each['width']}x{each['height']} {'gray' if each['channels'] == 1 else 'RGB'}",
                str(each["latents"]),
                each["bundle_id"],
                f"{each['bytes'] / 1e6:.1f} MB",
                f"{first['bytes_per_image']:.1f} to {last['bytes_per_image']:.1f}",
                f"{first['psnr']:.2f} to {last['psnr']:.2f} dB",
            )
        )
    header = ("name", "images", "latents", "bundle id", "size", "bytes per image", "PSNR, quality 1 to 9")
    return format_table(header, rows)


def _lines(facts: Mapping[str, object]) -> str:
    """Return one line per fact, with control characters, which a file may contain, escaped."""
    return "\n".join(printable(f"{name:<9} {fact}") for name, fact in facts.items())
