"""The first step of a training on TensorFlow's CPU: nothing is rewritten, nothing else changes."""

import functools

import keras
import numpy as np
import pytest
import transfer_parts

from keras_stc import VideoConfig, VideoModel
from keras_stc.layers.residual import residual_unit
from keras_stc.models import first_step
from keras_stc.training import SGD
from keras_stc.transfer.teacher import Taught

tf = pytest.importorskip("tensorflow")
tensorflow_step = pytest.importorskip("keras_stc.models.tensorflow_step")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs"
)

CLIPS = np.random.default_rng(0).uniform(0, 255, (2, 4, 8, 8, 3)).astype("float32")


def network():
    """A small network that always begins alike."""
    keras.utils.set_random_seed(0)
    clip = keras.Input(CLIPS.shape[1:])
    x = keras.layers.Rescaling(1 / 255)(clip)
    x = residual_unit(x, "bottleneck", width=8, filters=8, stc={}, name="unit")
    x = keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling3D()(x))
    return VideoModel(clip, x, video_config=VideoConfig(4, 1, 8))


def fitted(optimizer, optimize_graph=False):
    """Its weights after three steps."""
    model = network()
    model.optimize_graph = optimize_graph
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(CLIPS, np.array([0, 1]), epochs=3, batch_size=2, verbose=0)
    return model.get_weights()


def assert_close(got, want):
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def nodes_run(function):
    """How many operations TensorFlow runs for functions that are called for the first time."""
    from tensorflow.python.eager import context

    here = context.context()
    here.enable_run_metadata()
    function()
    graphs = here.export_run_metadata().function_graphs
    here.disable_run_metadata()
    return sum(len(part.node) for graph in graphs for part in graph.partition_graphs)


@pytest.mark.parametrize("disabled", [False, True])
def test_graph_optimizer_is_off_in_these_calls_alone(disabled):
    @tf.function
    def constant(x):
        return functools.reduce(lambda y, _: y * 1.0, range(50), x)

    x, usual = tf.constant(2.0), {"disable_meta_optimizer": disabled}
    tf.config.optimizer.set_experimental_options(usual)
    try:
        as_traced = tensorflow_step.without_graph_optimizer(constant)
        assert nodes_run(lambda: as_traced(x)) > 100
        assert nodes_run(lambda: as_traced(x)) == 0  # made once
        with pytest.raises(TypeError):
            as_traced(x, x)  # takes one
        now = tf.config.optimizer.get_experimental_options()
        assert now["disable_meta_optimizer"] == disabled
        if not disabled:
            assert 0 < nodes_run(lambda: constant(x)) < 10
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def test_graph_optimizer_changes_no_result(monkeypatch):
    calls, off = [], tensorflow_step.without_graph_optimizer
    monkeypatch.setattr(
        tensorflow_step, "without_graph_optimizer", lambda each: calls.append(1) or off(each)
    )
    without = fitted(keras.optimizers.SGD(0.1))
    assert_close(without, fitted(keras.optimizers.SGD(0.1), optimize_graph=True))
    assert len(calls) == 1


def test_traced_once(monkeypatch):
    pool, calls = keras.layers.GlobalAveragePooling3D, []
    call = pool.call
    monkeypatch.setattr(pool, "call", lambda self, x: calls.append(x) or call(self, x))
    fitted(SGD(0.1, momentum=0.9))
    assert len(calls) == 1


@pytest.mark.parametrize("nesterov", [False, True])
def test_one_operation_updates_as_keras_does(nesterov):
    options = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": nesterov}
    assert_close(fitted(SGD(**options)), fitted(keras.optimizers.SGD(**options)))


def test_a_long_first_step_is_announced_once(monkeypatch, capsys):
    clip = keras.Input(CLIPS.shape[1:])
    x = keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling3D()(clip))
    model = VideoModel(clip, x, video_config=VideoConfig(4, 1, 8))

    def said(verbose=2, compile=True):
        if compile:
            model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(CLIPS, np.array([0, 1]), 2, 1, verbose)
        return capsys.readouterr().err

    assert said() == ""  # takes no three seconds
    monkeypatch.setitem(first_step.SECONDS, "tensorflow", 3.5)
    assert said(compile=False) == ""  # built by now
    assert said(verbose=0) == ""
    assert said() == "Building the training graph, about 7 s\n"
    model.train_function = None  # as if several devices fitted it
    assert said(compile=False) == ""


def graphs_of_a_step(monkeypatch, fit):
    """Whether each graph that a step is traced in lies in another one, and what `fit` returns."""
    graphs, train_step = [], keras.Model.train_step

    def watched(self, data):
        graphs.append(tf.compat.v1.get_default_graph())
        return train_step(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "train_step", watched)
        result = fit()
    return [isinstance(graph.outer_graph, type(graph)) for graph in graphs], result


def test_in_one_graph_it_learns_the_same(monkeypatch):
    ours, weights = graphs_of_a_step(monkeypatch, lambda: fitted(keras.optimizers.SGD(0.1)))

    def fit_plainly():
        plain = network()
        plain = keras.Model(plain.input, plain.output)
        plain.compile(
            keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        plain.fit(CLIPS, np.array([0, 1]), epochs=3, batch_size=2, verbose=0)
        return plain.get_weights()

    kerass, others = graphs_of_a_step(monkeypatch, fit_plainly)
    assert_close(weights, others)
    assert ours == [False] and kerass == [True, True]  # traced twice by Keras


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (transfer_parts.small_transfer, transfer_parts.batch()),
        (
            functools.partial(transfer_parts.small_distillation, label_weight=0.5),
            transfer_parts.distillation_batch(),
        ),
    ],
    ids=["transfer", "distillation"],
)
def test_what_a_teacher_teaches_is_traced_once_too(make, batch, monkeypatch):
    def fit():
        model = make()
        model.compile(keras.optimizers.SGD(0.1))
        history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0)
        return history.history, model.get_weights()

    ours, (figures, weights) = graphs_of_a_step(monkeypatch, fit)
    monkeypatch.setattr(Taught, "make_train_function", keras.Model.make_train_function)
    kerass, (wanted, others) = graphs_of_a_step(monkeypatch, fit)
    assert figures.keys() == wanted.keys()
    assert all(figures[name] == pytest.approx(wanted[name], rel=1e-5) for name in wanted)
    assert_close(weights, others)
    assert ours == [False] and kerass == [True, True]


@pytest.mark.parametrize("sample_weight", [None, np.array([1.0, 0.5])])
def test_a_batch_by_hand_and_several_steps_a_call(sample_weight):
    """What `fit` does not go through our one graph for; and weights of samples, which it does."""
    labels, learnt = np.array([0, 1]), []
    for steps in (1, 2):
        model = network()
        model.compile(SGD(0.1), "sparse_categorical_crossentropy", steps_per_execution=steps)
        weights = None if sample_weight is None else np.tile(sample_weight, 2)
        twice = np.concatenate([CLIPS, CLIPS]), np.tile(labels, 2)
        model.fit(*twice, batch_size=2, shuffle=False, sample_weight=weights, verbose=0)
        learnt.append(model.get_weights())
    model = network()
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    for _ in range(2):
        model.train_on_batch(CLIPS, labels, sample_weight)
    for each in learnt:
        assert_close(each, model.get_weights())


def test_weights_of_pairs_without_labels():
    transfer = transfer_parts.small_transfer()
    transfer.compile(keras.optimizers.SGD(0.1))
    data = tf.data.Dataset.from_tensors((transfer_parts.batch(), tf.zeros((4, 1))))
    history = transfer.fit(data.map(lambda x, weight: (x, None, weight)), verbose=0)
    assert history.history["loss"] == [0]


def test_double_precision_is_as_kerass_own():
    """With one momentum here and another where Keras' update is taken, devices would differ."""
    moved = []
    for optimizer in (SGD(0.5, momentum=0.9, l2=0.125), keras.optimizers.SGD(0.5, momentum=0.9)):
        kernel = keras.Variable(np.ones(3), dtype="float64", name="kernel")
        optimizer.build([kernel])
        for _ in range(3):
            penalty = 0.0 if isinstance(optimizer, SGD) else 0.125 * kernel.value
            optimizer.apply([tf.constant([0.3] * 3, tf.float64) + penalty])
        moved.append(np.asarray(kernel))
    np.testing.assert_allclose(*moved, rtol=1e-14)
