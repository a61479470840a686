"""`keras-stc demo`: the main job on videos it writes itself."""

import pathlib

from keras_stc.cli.console import fit_verbosity, print_json


def register(add):
    command = add(
        "demo",
        help="videos, training, accuracy and a report in about three minutes",
        description="Writes small encoded videos whose class is the motion in them, trains an STC "
        "network on them, evaluates it on videos it has never seen and writes an HTML report.",
    )
    command.add_argument("--out", default="keras-stc-demo", help="folder to write to")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.demo.run import run_demo

    quiet = arguments.json
    result = run_demo(
        arguments.out,
        seed=arguments.seed,
        say=(lambda text: None) if quiet else (lambda text: print(text, flush=True)),
        verbose=fit_verbosity(arguments),
    )
    evaluation, control = result.evaluation, result.control
    chance = 1 / len(evaluation.class_names)
    if quiet:
        return print_json(
            {
                "video@1": evaluation.video1,
                "single_frame_video@1": control.video1,
                "chance": chance,
                "seconds": result.seconds,
                "report": str(result.report),
                "evaluation": evaluation.to_dict(),
            }
        )
    print(f"\nVideo accuracy              {evaluation.video1:6.1%}")
    print(f"The same with single frames {control.video1:6.1%}  (chance {chance:.1%})")
    print(f"\n{result.prediction.path}, which shows {result.label}:")
    for label, probability in result.prediction.top(3):
        print(f"  {probability:6.1%}  {label}")
    print(f"\nReport: {pathlib.Path(result.report)}   ({result.seconds:.0f} s)")
    print(f"Next:   keras-stc predict VIDEO --model {arguments.out}/run")
