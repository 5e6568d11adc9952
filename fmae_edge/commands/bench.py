"""`fmae-edge bench`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge.bulk.sources import STREAM
from fmae_edge.commands.compare import claim_picture
from fmae_edge.commands.console import (
    argument_errors_as_usage,
    format_table,
    json_line,
    print_line,
    progress_bar,
    say,
)
from fmae_edge.commands.options import BundleArgument, Providers, file_option, integer_option

if TYPE_CHECKING:
    from fmae_edge.evaluate.bench import Bench


def bench(
    bundle: BundleArgument = None,
    providers: Providers = None,
    rounds: Annotated[
        int,
        integer_option("--rounds", "N", 1, help="Measurements per case. More rounds give steadier figures."),
    ] = 20,
    plot: Annotated[Path | None, file_option("--plot", help="PNG file for a plot of the throughput.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing picture.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Measure the speed of a bundle on this machine.

    Measures encoding and decoding with the int8 and float32 graphs on one thread and on all threads, loading,
    memory and cold start. --provider runs the float32 graphs elsewhere. This takes minutes.

    Example: fmae-edge bench --plot speed.png
    """
    from fmae_edge.evaluate.bench import run_bench
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.engine.providers import as_providers
    from fmae_edge.runtime.errors import OutputError

    path = bundle or DEFAULT_BUNDLE
    with argument_errors_as_usage():  # and before minutes of measuring
        chosen = as_providers(providers)
        Codec(path, precision="fp32", providers=chosen)
    if plot is not None:  # before minutes of measuring
        from fmae_edge.evaluate.plots import plot_bench
        from fmae_edge.measure.figure import plot_to_png

        if plot == STREAM or not plot.parent.is_dir():
            raise OutputError(f"{plot}: the picture must be a file in an existing folder")
        outputs = claim_picture(plot, force)
    with progress_bar("measuring") as on_round:
        measured = run_bench(path, rounds, on_round, chosen)
    print_line(json_line(measured.to_record()) if json else _describe(measured))
    if plot is not None:
        outputs.write(plot, plot_to_png(plot_bench(measured)))
        say(f"wrote {plot}", sys.stderr)


def _describe(bench: "Bench") -> str:
    machine = bench.machine
    speeds = [
        (
            f"{one.task}, {one.precision}, {one.threads} thread{'s' * (one.threads > 1)}",
            f"{one.p50_us:.0f} us",
            f"{one.p95_us:.0f} us",
            str(best.batch),
            f"{best.us_per_image:.0f} us",
            f"{best.p95_us / best.batch:.0f} us",
            f"{best.images_per_second:,.0f}",
        )
        for one, best in bench.summary()
    ]
    header = ("", "one image p50", "p95", "best batch", "per image p50", "p95", "images/s")
    others = [(f"load, {name}, and the first image", f"{ms:.1f} ms") for name, ms in bench.load_ms.items()]
    others += [(f"resident memory, {name}", f"{mb:.0f} MB") for name, mb in (bench.memory_mb or {}).items()]
    others += [(f"process: {name}", f"{ms:.0f} ms") for name, ms in bench.cold_start_ms.items()]
    on = f"float32 graphs on {machine['float32 graphs']}\n" if "float32 graphs" in machine else ""
    return (
        f"bundle {bench.bundle_id} on {machine['cpu']}, {machine['cpus']} CPUs, {machine['system']}\n"
        f"onnxruntime {machine['onnxruntime']}, numpy {machine['numpy']}, Python {machine['python']}, "
        f"fmae-edge {machine['fmae-edge']}\n{on}\n"
        f"{format_table(header, speeds)}\n\n{format_table(('', ''), others)}"
    )
