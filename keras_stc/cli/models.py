"""`keras-stc models`: the zoo as a table."""

from keras_stc.cli.console import print_json, print_table


def register(commands, common):
    command = commands.add_parser(
        "models",
        parents=[common],
        help="the zoo: parameters, GMAC, clip",
        description="Lists the models with their parameters and multiply-accumulates (FLOPs are "
        "twice those) for 400 classes and clips of 16 frames at 112x112 pixels.",
    )
    command.add_argument("pattern", nargs="?", help="only models whose name contains this")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.models import list_models
    from keras_stc.models.complexity import zoo_complexity

    names = list_models(arguments.pattern)
    if not names:
        raise ValueError(
            f"No model's name contains {arguments.pattern!r}: keras-stc models lists them all."
        )
    table = zoo_complexity()
    entries = [_entry(name, table[name]) for name in names]
    if arguments.json:
        return print_json(entries)
    print_table(
        ["model", "constructor", "M parameters", 'M, "stage"', "GMAC", "clip", "weights"],
        [
            [
                entry["name"],
                entry["constructor"],
                f"{entry['parameters'] / 1e6:.2f}",
                f"{entry['stage_parameters'] / 1e6:.2f}" if entry["stage_parameters"] else "",
                f"{entry['macs'] / 1e9:.2f}",
                "x".join(map(str, entry["clip"])),
                ", ".join(entry["weights"]) or "none published",
            ]
            for entry in entries
        ],
    )
    print('\n"stage": with stc_placement="stage", one STC block a stage instead of one a unit.')


def _entry(name, complexity):
    from keras_stc.models.configs import VARIANTS

    parameters, macs = complexity["parameters"], complexity["macs"]
    key = "block-16" if "block-16" in parameters else "16"
    return {
        "name": name,
        "constructor": VARIANTS[name].constructor,
        "parameters": parameters[key],
        "stage_parameters": parameters.get("stage-16"),
        "macs": macs[key],
        "clip": [16, 112, 112],
        "weights": [],
    }
