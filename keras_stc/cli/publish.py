"""`keras-stc publish`: a run to the Hub."""

import dataclasses

from keras_stc.cli import options
from keras_stc.cli.console import print_json


def register(add):
    command = add(
        "publish",
        help="a trained network to the Hugging Face Hub, with a card of what was measured",
        description="Uploads the weights, the configuration and a model card in one commit, so "
        "that hf://owner/repo names the network from then on. The token is that of HF_TOKEN or "
        "`hf auth login`.",
    )
    command.add_argument("run_folder", metavar="RUN", help="a run folder or a .keras file")
    command.add_argument("repo", metavar="OWNER/REPO", help="made if it is missing")
    options.checkpoint(command)
    command.add_argument("--license", help="such as apache-2.0; without it, the card states none")
    # The spelling until 0.1, for one version.
    command.add_argument(
        "--evaluation",
        metavar="JSON",
        action="append",
        default=[],
        help="what keras-stc evaluate --json printed, for the card; may be repeated",
    )
    command.add_argument("--private", action="store_true", help="where the repository is made")
    command.add_argument("--message", help="of the commit")
    command.add_argument(
        "--dry-run", metavar="FOLDER", help="write the files to a folder instead of uploading"
    )
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.publish import publish, write_files

    how = {
        "checkpoint": arguments.checkpoint,
        "evaluations": arguments.evaluation,
        "license": arguments.license,
    }
    if arguments.dry_run:
        paths = write_files(arguments.run_folder, arguments.dry_run, arguments.repo, **how)
        if arguments.json:
            return print_json({"files": {str(path): path.stat().st_size for path in paths}})
        print("Nothing was uploaded. What would be:")
        print(*(f"  {path}  {path.stat().st_size:,} bytes" for path in paths), sep="\n")
        return None
    upload = publish(
        arguments.run_folder,
        arguments.repo,
        private=arguments.private,
        message=arguments.message,
        **how,
    )
    if arguments.json:
        return print_json({**dataclasses.asdict(upload), "address": upload.address})
    print(f"Published: {upload.url} (commit {upload.revision})")
    print(f"  keras-stc predict x.mp4 --model {upload.address}")
