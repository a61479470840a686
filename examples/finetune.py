"""Fine-tunes an STC-ResNet18 on a folder of videos and classifies one that it has not seen.

    python examples/finetune.py                    # on generated motion videos, about 2 minutes
    python examples/finetune.py --videos videos    # on videos/<class>/*.mp4

Network: Diba et al., ECCV 2018 (arXiv 1806.07754).
"""

import argparse
import tempfile

import keras_stc  # isort: skip; first, for TensorFlow's faster CPU kernels
import keras

from keras_stc.demo.motion import write_motion_videos


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", help="a folder with a subfolder of videos for each class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=48)
    arguments = parser.parse_args()

    folder = arguments.videos
    if folder is None:
        folder = tempfile.mkdtemp(prefix="motion-")
        classes = ("approach", "clockwise", "move_left", "move_up")
        write_motion_videos(folder, 30, classes=classes)
    videos = keras_stc.data.VideoFolder(folder)
    train, held_out = videos.split(0.2, seed=0)
    print(f"{len(train)} videos to train on, {len(held_out)} held out: {videos.class_names}")

    keras.utils.set_random_seed(0)
    model = keras_stc.STCResNet18(
        classes=len(videos.class_names),
        input_shape=(arguments.frames, arguments.size, arguments.size, 3),
    )
    model.video_config = model.video_config.replace(class_names=videos.class_names)
    clips = keras_stc.data.clip_dataset(
        train,
        batch_size=8,
        training=True,
        # A mirrored "left" is a "right".
        flip=arguments.videos is not None,
        video_config=model.video_config,
    )
    model.compile(
        optimizer=keras_stc.training.SGD(0.01, momentum=0.9, nesterov=True, l2=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(clips, epochs=arguments.epochs)

    print(keras_stc.evaluate_videos(model, held_out))
    video = held_out[0]
    print(video.path, "shows", videos.class_names[video.label])
    for label, probability in keras_stc.predict_video(model, video.path).top(3):
        print(f"  {probability:6.1%}  {label}")


if __name__ == "__main__":
    main()
