"""`keras-stc completion`: commands, options and files by the Tab key."""

HOW = {
    "bash": 'eval "$(keras-stc completion bash)"      # in ~/.bashrc',
    "zsh": "keras-stc completion zsh > ~/.zfunc/_keras-stc      # a folder of fpath",
    "tcsh": "keras-stc completion tcsh > ~/.keras-stc.tcsh; source ~/.keras-stc.tcsh",
}


def register(add):
    command = add(
        "completion",
        help="a script for your shell: Tab completes",
        description="Prints a script that makes the shell complete commands, options and files: "
        + "; ".join(HOW.values()),
    )
    command.add_argument("shell", choices=sorted(HOW))
    # A shell that starts does not wait for Keras.
    command.set_defaults(run=run, needs_keras=False)


def run(arguments):
    from keras_stc.cli.console import print_json

    try:
        import shtab
    except ImportError as error:
        raise ImportError("Completion needs shtab: pip install 'keras-stc[shell]'") from error
    root = arguments.parser
    (commands,) = (action for action in root._actions if hasattr(action.choices, "values"))
    for command in commands.choices.values():
        for action in command._actions:
            # What is neither a number, a switch nor one of a few words may be a file.
            if action.nargs != 0 and action.type is None and action.choices is None:
                action.complete = shtab.FILE
    script = shtab.complete(root, shell=arguments.shell)
    if arguments.json:
        return print_json({"shell": arguments.shell, "script": script})
    print(script)
