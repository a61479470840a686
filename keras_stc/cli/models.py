"""`keras-stc models`: the zoo as a table."""

import dataclasses

from keras_stc.cli.console import print_json, print_table


def register(add):
    command = add(
        "models",
        help="the zoo: parameters, GMAC, clip",
        description="Lists the models with their parameters and multiply-accumulates (FLOPs are "
        "twice those) for 400 classes and the clip it shows.",
    )
    command.add_argument("pattern", nargs="?", help="only models whose name contains this")
    command.add_argument(
        "--weights", action="store_true", help="list the weights instead, and where they come from"
    )
    command.set_defaults(run=run, needs_keras=False)


def run(arguments):
    from keras_stc.models.complexity import zoo_complexity

    table = zoo_complexity()
    pattern = (arguments.pattern or "").lower()
    names = [name for name in table if pattern in name]
    if not names:
        raise ValueError(
            f"No model's name contains {arguments.pattern!r}: keras-stc models lists them all."
        )
    if arguments.weights:
        return _show_weights(names, arguments)
    entries = [_entry(name, table[name]) for name in names]
    if arguments.json:
        return print_json(entries)
    print_table(
        ["model", "constructor", "M parameters", 'M, "stage"', "M, stc", "GMAC", "clip", "weights"],
        [
            [
                entry["name"],
                entry["constructor"],
                f"{entry['parameters'] / 1e6:.2f}",
                f"{entry['stage_parameters'] / 1e6:.2f}" if entry["stage_parameters"] else "",
                f"{entry['stc_parameters'] / 1e6:.2f}" if entry["stc_parameters"] else "",
                f"{entry['macs'] / 1e9:.2f}",
                "x".join(map(str, entry["clip"])),
                ", ".join(entry["weights"]),
            ]
            for entry in entries
        ],
    )
    print(
        '\n"stage": with stc_placement="stage", one STC block a stage instead of one a unit;\n'
        '"stc": with stc=True, one behind each module.'
    )


def _show_weights(names, arguments):
    from keras_stc.weights.registry import records_of

    rows = [record for name in names for record in records_of(name)]
    if arguments.json:
        return print_json([{**dataclasses.asdict(row), "status": row.status} for row in rows])
    print_table(
        ["model", "weights", "status", "from", "file", "license", "top-1"],
        [
            [
                record.arch,
                record.tag,
                record.status,
                record.repository or "",
                record.file or "",
                record.license or "",
                next((f"{m.value:.1f} {m.data}" for m in record.metrics if m.name == "top-1"), ""),
            ]
            for record in rows
        ],
    )
    print("\n--json says by whom and how a figure was measured. ImageNet's are those of")
    print("the 2D network that is inflated along time, or looks at every frame.")


def _entry(name, complexity):
    from keras_stc.weights.registry import tags

    parameters, macs, frames = complexity["parameters"], complexity["macs"], complexity["clip"][0]
    key = f"block-{frames}" if f"block-{frames}" in parameters else f"{frames}"
    return {
        "name": name,
        "constructor": complexity["constructor"],
        "parameters": parameters[key],
        "stage_parameters": parameters.get("stage-16"),
        "stc_parameters": parameters.get(f"stc-{frames}"),
        "macs": macs[key],
        "clip": complexity["clip"],
        "weights": tags(name),
    }
