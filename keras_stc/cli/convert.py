"""`keras-stc convert`: other libraries' checkpoints."""

import pathlib

from keras_stc.cli import options
from keras_stc.cli.console import print_json


def register(add):
    command = add(
        "convert",
        help="another library's checkpoint into a .keras file",
        description="Converts Hara et al.'s 3D-ResNets, ResNeXts and DenseNets (.pth), "
        "torchvision's r3d_18, mc3_18, r2plus1d_18 and s3d (.pth), and ImageNet's 2D ResNets and "
        "DenseNets of timm (.safetensors) and keras.applications (.h5), which are inflated along "
        "time. Which one it is, is told from the names of its arrays. PyTorch need not be "
        "installed.",
    )
    command.add_argument("source", metavar="SOURCE", help="the checkpoint")
    command.add_argument("out", metavar="OUT", help="a .keras file")
    command.add_argument(
        "--model", help="a network of keras-stc models; with STC blocks, these start neutral"
    )
    command.add_argument("--frames", type=int, help="frames in a clip (as its kind was trained)")
    command.add_argument("--size", type=int, help="pixels of the square crop (the same)")
    command.add_argument(
        "--classes",
        metavar="FILE",
        help="names of the classes, one a line, in the order of the outputs; or kinetics400",
    )
    command.add_argument(
        "--normalization",
        help="how pixels were normalised: imagenet, caffe, hara-2017, hara-2020 or torchvision "
        "(by default as is usual for its kind)",
    )
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.convert import convert_checkpoint
    from keras_stc.files import atomic_path

    if not arguments.out.endswith(".keras"):
        raise ValueError(
            "OUT must end in .keras, the format that keeps how to feed the network beside its "
            f"weights. Received: {arguments.out}"
        )
    done = convert_checkpoint(
        arguments.source,
        arguments.model,
        video_config=options.typed(frames=arguments.frames, size=arguments.size) or None,
        class_names=_class_names(arguments.classes),
        normalization=arguments.normalization,
    )
    out = pathlib.Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as path:
        done.model.save(path)
    config = done.model.video_config
    if arguments.json:
        return print_json(
            {
                "source": arguments.source,
                "out": arguments.out,
                "model": done.arch,
                "inflated": done.inflated,
                "arrays_used": done.used,
                "arrays_unused": list(done.unused),
                "normalization": done.normalization,
                "video_config": config.to_dict(),
            }
        )
    print(f"{arguments.source} is a {done.arch}{', inflated along time' if done.inflated else ''}")
    print(f"  {done.used} arrays converted, {len(done.unused)} left out (counters of batches)")
    print(f"  pixels: minus {config.mean}, divided by {config.std} ({done.normalization})")
    if config.class_names is None:
        print("  no names of classes: --classes FILE puts them in")
    print(f"  keras_stc.load_model({arguments.out!r})")


def _class_names(source):
    if source is None:
        return None
    if source == "kinetics400":
        from keras_stc.weights.registry import class_names

        return class_names()
    try:
        lines = pathlib.Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file of class names {source} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
