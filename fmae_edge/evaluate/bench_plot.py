"""Plot throughput over batch size."""

from matplotlib.figure import Figure

from fmae_edge.evaluate.bench import BATCHES, Bench

# From Okabe and Ito's palette, which colour-blind people can tell apart; the line style shows the threads
_COLOURS = {"int8": "#0072B2", "fp32": "#D55E00"}


def plot_bench(bench: Bench) -> Figure:
    """Draw images per second over the batch size: a panel per task, a line per precision and threads."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    threads = sorted({speed.threads for speed in bench.speeds})
    for panel, task in zip(panels, ("encode", "decode"), strict=True):
        for precision, colour in _COLOURS.items():
            for count in threads:
                rows = [s for s in bench.speeds if (s.task, s.precision, s.threads) == (task, precision, count)]
                rows.sort(key=lambda speed: speed.batch)
                panel.plot(
                    [row.batch for row in rows],
                    [row.images_per_second for row in rows],
                    color=colour,
                    linestyle="-" if count == 1 else "--",
                    marker="o",
                    label=f"{precision}, {count} thread{'s' * (count > 1)}",
                )
        panel.set_xscale("log", base=2)
        panel.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        panel.set_title(task)
        panel.set_xlabel("images per call")
        panel.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)  # after drawing, because it ends autoscaling in both panels
    panels[0].set_ylabel("images per second, at the median")
    panels[1].legend(loc="upper left")
    figure.suptitle(f"{bench.bundle_id} on {bench.machine['cpu']}", fontsize="small")
    return figure
