"""Teaches an STC-ResNet18 with a frozen 2D network, on videos without labels, then uses it.

    python examples/transfer.py                       # generated videos, about 2 minutes
    python examples/transfer.py --videos videos --teacher-weights imagenet --frame-size 224

The student learns which frames and clips belong together, as the teacher sees them; then it
starts a classifier of a few labelled videos. By default the teacher is a small network with random
weights, so that nothing is downloaded: it shows the way, and no gain. With --teacher-weights
imagenet it is a ResNet-50 that knows ImageNet. Method: Diba et al., ECCV 2018, section 3.2.
"""

import argparse
import tempfile

import keras_stc  # isort: skip; first, for TensorFlow's faster CPU kernels
import keras

from keras_stc.demo.motion import write_motion_videos
from keras_stc.transfer.teachers import create_teacher


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", help="a folder with a subfolder of videos for each class")
    parser.add_argument("--teacher-weights", help="imagenet, or a file of keras.applications")
    parser.add_argument("--frame-size", type=int, default=64, help="pixels the teacher sees")
    parser.add_argument("--size", type=int, default=48, help="pixels the student sees")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()

    folder = arguments.videos
    if folder is None:
        folder = tempfile.mkdtemp(prefix="motion-")
        write_motion_videos(folder, 24, classes=("approach", "clockwise", "move_left", "move_up"))
    labelled, held_out = keras_stc.data.VideoFolder(folder).split(0.25, seed=0)

    # Without labels: any folder of videos would do.
    unlabelled = keras_stc.data.VideoSet([keras_stc.data.Video(v.path) for v in labelled])
    if arguments.teacher_weights:
        teacher = create_teacher("resnet50", arguments.teacher_weights)
    else:
        teacher = create_teacher("mobilenetv2", "random")
    keras.utils.set_random_seed(0)
    shape = (8, arguments.size, arguments.size, 3)
    student = keras_stc.STCResNet18(include_top=False, pooling="avg", input_shape=shape)
    transfer = keras_stc.transfer.CorrespondenceTransfer(student, teacher)
    transfer.compile(keras_stc.training.SGD(0.01, momentum=0.9, nesterov=True, l2=1e-4))
    pairs = keras_stc.transfer.pair_dataset(
        unlabelled,
        batch_size=12,
        frame_size=arguments.frame_size,
        video_config=student.video_config,
        # A mirrored "left" is a "right".
        flip=arguments.videos is not None,
    )
    transfer.fit(pairs, epochs=arguments.epochs)

    # The student's layers start the classifier, whose last one is new.
    with tempfile.TemporaryDirectory() as folder:
        student.save(f"{folder}/student.keras")
        model = keras_stc.STCResNet18(
            weights=f"{folder}/student.keras", classes=len(labelled.class_names), input_shape=shape
        )
    model.video_config = model.video_config.replace(class_names=labelled.class_names)
    clips = keras_stc.data.clip_dataset(
        labelled,
        training=True,
        video_config=model.video_config,
        flip=arguments.videos is not None,
    )
    model.compile(
        keras_stc.training.SGD(0.01, momentum=0.9, nesterov=True, l2=1e-4),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(clips, epochs=arguments.epochs)
    print(keras_stc.evaluate_videos(model, held_out))


if __name__ == "__main__":
    main()
