"""`keras-stc export`: a model for programs without Keras."""

from keras_stc.cli import options
from keras_stc.cli.console import print_json


def register(add):
    command = add(
        "export",
        help="a SavedModel or an ONNX file",
        description="Writes a model for programs without Keras and compares what it puts out. The "
        "input is float32 clips (batch, frames, height, width, 3), RGB 0-255, of the network's "
        "size; how frames are chosen and what the classes are called is written with it.",
    )
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a run folder, a .keras file, hf://owner/repo or weights of the zoo, such as "
        "stc_resnet18.ucf101-35",
    )
    command.add_argument("out", metavar="OUT", help="a folder, or a file that ends in .onnx")
    command.add_argument(
        "--preprocessing",
        action="store_true",
        help="with the resize and the centre crop inside: uint8 frames of any size in, "
        "probabilities out",
    )
    options.checkpoint(command)
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.export import export_model
    from keras_stc.models.load import named_model

    model = named_model(arguments.model, arguments.checkpoint)
    difference = export_model(model, arguments.out, arguments.preprocessing)
    config = model.video_config
    shape = ["batch", config.frames, "height", "width", 3]
    if not arguments.preprocessing:
        shape = ["batch", *config.clip_shape]
    given = {
        "name": "frames" if arguments.preprocessing else "clip",
        "dtype": "uint8" if arguments.preprocessing else "float32",
        "shape": shape,
    }
    if arguments.json:
        return print_json(
            {
                "model": arguments.model,
                "out": arguments.out,
                "input": given,
                "largest_difference": difference,
                "video_config": config.to_dict(),
            }
        )
    inside = "{dtype} ({0}) in".format(", ".join(map(str, shape)), **given)
    print(f"{arguments.out}: {inside}, {model.output_shape[-1]} numbers out")
    if difference is None:
        print("  not compared with the model: pip install onnxruntime")
    else:
        print(f"  its output differs from the model's by at most {difference:.1e}")
