"""The last step of every pipeline."""


def prefetched(dataset, batches):
    """`dataset` with batches made in advance, as its last step.

    Without TensorFlow's automatic tuning: nothing is left to be tuned, and the end of an iteration
    waits for the tuner, up to nine seconds on two busy cores.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(batches).with_options(options)
