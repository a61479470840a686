"""`frozen`: a block in which the first layers of a network, or its normalisations, do not learn."""

import contextlib

import keras

from keras_stc.checks import wrong


@contextlib.contextmanager
def frozen(model, last, partial_bn=False):
    """Nothing up to the stage or layer `last` is trained inside the block.

    With `partial_bn` no batch normalisation but the first is either: with few videos, what their
    batches say of the inner layers is worse than what is known, and only the distribution of the
    input is new (Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2).

    Every layer is frozen by itself: frozen batch normalisations run with their stored statistics
    and leave them alone. Compile the model inside the block.

    Args:
        model: A functional Keras model.
        last: Name of a layer, or of a stage, such as `"layer3"` for all `layer3_…`; `None` for
            nothing. `"Mixed_5c"`, which is a layer, leaves an STC block behind it to learn.
        partial_bn: Whether all batch normalisations but the first are frozen.

    Raises:
        ValueError: If there is no such layer, or nothing is left to train.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    layers = norms[1:] if partial_bn else []
    if last is not None:
        names = [layer.name for layer in model.layers]
        of_stage = [names.index(last)] if last in names else []
        of_stage = of_stage or [i for i, name in enumerate(names) if name.startswith(f"{last}_")]
        if not of_stage:
            stages = dict.fromkeys(layer.name.split("_")[0] for layer in model.layers)
            raise wrong(f"a stage or layer of {model.name}: {', '.join(stages)}", freeze=last)
        # Keras lists layers by their depth: what a stage is computed from comes before it.
        layers = [*model.layers[: of_stage[-1] + 1], *layers]
    layers = [layer for layer in layers if layer.trainable]
    for layer in layers:
        layer.trainable = False
    try:
        if not model.trainable_variables:
            raise ValueError(f"`freeze` must leave something to train. Received: freeze={last!r}")
        yield
    finally:
        for layer in layers:
            layer.trainable = True
