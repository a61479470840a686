"""The plot of accuracy against labels in docs/results.md, from the figures in `labels.csv`.

    python benchmarks/ucf101_35/plot_labels.py docs/labels.svg

`labels.csv` has a line for each start and number of labelled clips of UCF101-35, split 1: the mean
of video@1 over seeds in per cent, its sample standard deviation (empty of a single seed), and the
command that measured it. The official test clips are the same for all.
"""

import argparse
import csv
import pathlib

from keras_stc.ablation.plot import check_plot, saved_axes

#: Beside the program.
FIGURES = pathlib.Path(__file__).with_name("labels.csv")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plot", type=pathlib.Path, help="write it there (.svg or .png)")
    path = parser.parse_args().plot
    try:
        check_plot(path)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    if not path.parent.is_dir():
        parser.error(f"{path.parent} is no folder.")
    with saved_axes(path, (5.6, 3.6)) as axes:
        draw(axes[0, 0], curves())


def draw(axis, found):
    for start, rows in found.items():
        clips, means, deviations = zip(*rows, strict=True)
        axis.errorbar(clips, means, deviations, fmt="o-", capsize=3, ms=4, label=start)
    axis.set_xscale("log")
    ticks = sorted({row[0] for rows in found.values() for row in rows})
    axis.set_xticks(ticks, map(str, ticks))
    axis.minorticks_off()
    axis.set_ylim(0, 124)  # above 100 is room for the legend
    axis.set_yticks(range(0, 101, 20))
    axis.set_xlabel("labelled clips")
    axis.set_ylabel("video@1 in %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left")


def curves():
    """`{start: [(clips, mean, deviation), ...]}`."""
    found = {}
    with open(FIGURES, newline="") as file:
        for row in csv.DictReader(file):
            figures = [float(row[name] or 0) for name in ("mean", "deviation")]
            found.setdefault(row["start"], []).append((int(row["clips"]), *figures))
    return found


if __name__ == "__main__":
    main()
