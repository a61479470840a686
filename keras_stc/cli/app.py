"""`keras-stc app`: a page in the browser."""

import time

from keras_stc.cli import options
from keras_stc.cli.console import print_json

#: Addresses at which nobody but this machine's users sees the page.
LOCAL = ("127.0.0.1", "localhost", "::1")


def register(add):
    command = add(
        "app",
        help="a page in the browser: drop a video, see what it shows",
        description="Serves a page on this machine until Ctrl-C: drop a video or use the camera, "
        "choose a model, see labels, timeline and where the network looks.",
    )
    options.model(command, "; may be repeated", action="append")
    command.add_argument("--host", default=LOCAL[0], help=f"address to listen on ({LOCAL[0]})")
    command.add_argument("--port", type=int, help="the first free one from 7860 on")
    command.add_argument(
        "--share", action="store_true", help="a public address by Gradio, for a week"
    )
    command.add_argument(
        "--max-clips", type=int, default=20, help="most clips of a video, spread evenly (20)"
    )
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.app import build_app, serve

    if arguments.port is not None and not 1 <= arguments.port <= 65535:
        raise ValueError(f"--port must be from 1 to 65535. Received: {arguments.port}")
    options.at_least(arguments, 1, "max_clips")
    # Strangers choose among what was typed here.
    any_model = arguments.host in LOCAL and not arguments.share
    page = build_app(arguments.model or [options.DEFAULT], any_model, arguments.max_clips)
    address = serve(page, arguments.host, arguments.port, arguments.share)
    if arguments.json:
        print_json({"address": address})
    else:
        print(f"The page is at {address} (Ctrl-C stops it)", flush=True)
    try:
        while True:
            time.sleep(3600)
    finally:
        page.close(verbose=False)
