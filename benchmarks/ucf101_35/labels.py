"""The plot of accuracy against labels in docs/results.md, from the figures in `labels.csv`.

    python benchmarks/ucf101_35/labels.py docs/labels.svg

`labels.csv` has a line for each start and number of labelled clips of UCF101-35, split 1: the mean
of video@1 over seeds in per cent, its sample standard deviation (empty of a single seed), and the
command that measured it. The official test clips are the same for all.
"""

import csv
import pathlib
import sys

#: Beside the program.
FIGURES = pathlib.Path(__file__).with_name("labels.csv")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    import matplotlib

    matplotlib.use("Agg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "keras-stc"
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5.6, 3.6))
    for start, rows in curves().items():
        clips, means, deviations = zip(*rows, strict=True)
        axis.errorbar(clips, means, deviations, fmt="o-", capsize=3, ms=4, label=start)
    axis.set_xscale("log")
    axis.set_xticks(ticks := [158, 818, 2932], map(str, ticks))
    axis.minorticks_off()
    axis.set_ylim(0, 100)
    axis.set_xlabel("labelled clips")
    axis.set_ylabel("video@1 in %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


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
