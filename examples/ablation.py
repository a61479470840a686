"""Table 5 of the paper: networks with either branch of the STC block, both, or none.

    python examples/ablation.py --out runs/ablation                  # motion videos, 15 minutes
    python examples/ablation.py fights.csv --out runs/ablation-fights --frames 16 --size 64
    python examples/ablation.py ucf101:UCF-101:1 --out runs/table5 --form paper

Every other table likewise, by another name in `--studies`. The same from the command line is
`keras-stc ablate`; run again, it goes on where it was.

Paper: Diba et al., ECCV 2018 (arXiv 1806.07754).
"""

import argparse

from keras_stc.ablation import FORMS, markdown, run_ablation
from keras_stc.ablation.run import motion_videos
from keras_stc.data import divide
from keras_stc.transfer import create_teacher


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="motion", help="as for keras-stc train")
    parser.add_argument("--out", required=True)
    parser.add_argument("--studies", nargs="+", default=["branches"])
    parser.add_argument("--form", choices=FORMS, default="small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, help="in a clip")
    parser.add_argument("--size", type=int, help="pixels of the square crop")
    arguments = parser.parse_args()

    form = FORMS[arguments.form].replace(size=arguments.size)
    if arguments.frames:
        form = form.replace(base=form.base.replace(frames=arguments.frames))
    if arguments.data == "motion":
        videos, test = motion_videos(f"{arguments.out}/videos", form)
    else:
        division = divide(arguments.data)
        videos, test = division.train, division.validation

    seeds = range(arguments.seeds)
    teacher = create_teacher() if "transfer" in arguments.studies else None
    results = run_ablation(
        videos, test, form, arguments.out, arguments.studies, seeds, teacher=teacher
    )
    print(markdown(form, results, arguments.studies))


if __name__ == "__main__":
    main()
