# ruff: noqa: E501
"""Training and evaluation of Keras models on clips of a `Store`, an epoch in one compiled function."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from store import SIZES

#: Nesterov momentum and L2 of kernels (paper; `keras_stc.training.RECIPES["paper"]`).
MOMENTUM, DECAY = 0.9, 1e-4


class Clips:
    """What a network is fed.

    Args:
        frames: Frames in a clip.
        size: Side of the square crop, cut from `source` without resizing.
        source: `"small"` or `"large"`.
        stride: Frames of video from one to the next; a multiple of what `source` keeps.
        resize: Side that a crop is resized to, or `None`.
    """

    def __init__(self, frames, size, source="small", stride=4, resize=None):
        self.frames, self.size, self.source, self.stride = frames, size, source, stride
        self.every = SIZES[source][-1]
        self.resize = resize

    @property
    def shape(self):
        side = self.resize or self.size
        return (self.frames, side, side, 3)


def cut(clips, pixels, first, counts, starts, top, left, flip, stride, order, single):
    """`(B, T, H, W, 3)` float32 and the numbers of the frames.

    A clip that would run over the end of its video starts anew at its first frame, as
    `keras_stc.data` does. `single` makes it of its middle frame alone; `order` permutes its frames.
    """
    numbers = starts[:, None] + jnp.arange(clips.frames)[None] * stride
    numbers = jnp.where(single, numbers[:, clips.frames // 2, None], numbers)[:, order]
    numbers = numbers % counts[:, None]
    places = first[:, None] + numbers // clips.every

    def one(places, top, left, flip):
        def frame(place):
            shape = (1, clips.size, clips.size, 3)
            return jax.lax.dynamic_slice(pixels, (place, top, left, 0), shape)[0]

        clip = jax.vmap(frame)(places)
        return jnp.where(flip, clip[:, :, ::-1], clip)

    clip = jax.vmap(one)(places, top, left, flip).astype("float32")
    if clips.resize:
        shape = (*clip.shape[:2], clips.resize, clips.resize, 3)
        clip = jax.image.resize(clip, shape, "linear")
    return clip, numbers


def random_cut(clips, pixels, first, counts, key, stride, single):
    """Clips from random moments: a crop at a corner or the centre (paper), flipped half the time."""
    keys = jax.random.split(key, 3)
    b = len(counts)
    span = (clips.frames - 1) * stride + 1
    last = jnp.maximum(counts - span, 0)
    starts = jnp.floor(jax.random.uniform(keys[0], (b,)) * (last + 1)).astype(jnp.int32)
    starts -= starts % clips.every
    height, width, _ = SIZES[clips.source]
    down, right = height - clips.size, width - clips.size
    corners = jnp.array(
        [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)], jnp.int32
    )
    corner = corners[jax.random.randint(keys[1], (b,), 0, 5)]
    flip = jax.random.bernoulli(keys[2], 0.5, (b,))
    order = jnp.arange(clips.frames)
    clip, numbers = cut(
        clips,
        pixels,
        first,
        counts,
        starts,
        corner[:, 0],
        corner[:, 1],
        flip,
        stride,
        order,
        single,
    )
    return clip, numbers


def state_of(model):
    return {
        "trainable": [v.value for v in model.trainable_variables],
        "fixed": [v.value for v in model.non_trainable_variables],
        "momenta": [jnp.zeros_like(v.value) for v in model.trainable_variables],
    }


def put_state(model, state):
    for name, variables in (
        ("trainable", model.trainable_variables),
        ("fixed", model.non_trainable_variables),
    ):
        for variable, value in zip(variables, state[name], strict=True):
            variable.assign(value)


def epoch_function(model, clips, loss):
    """`(state, pixels, key, rates, videos, table, stride, single) -> (state, losses, hits)`.

    `videos` is `(steps, B)`, their places in the `Store`; `table` what is looked up by them, with `first` and
    `counts`; `loss(model_call, clip, videos, numbers, table, key)` gives the loss, `(new fixed, hits)`.
    """
    kernels = [v.path.endswith("kernel") for v in model.trainable_variables]

    def step(pixels, table, stride, single, state, inputs):
        key, rate, videos = inputs
        first, counts = table["first"][videos], table["counts"][videos]
        clip, numbers = random_cut(clips, pixels, first, counts, key, stride, single)

        def objective(trainable):
            def call(*inputs):
                inputs = inputs[0] if len(inputs) == 1 else list(inputs)
                return model.stateless_call(trainable, state["fixed"], inputs, training=True)

            return loss(call, clip, videos, numbers, table, key)

        (value, (fixed, hits)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state["trainable"]
        )
        weights, momenta = [], []
        rows = zip(state["trainable"], gradients, state["momenta"], kernels, strict=True)
        for weight, gradient, momentum, kernel in rows:
            gradient = gradient + DECAY * weight if kernel else gradient
            momentum = MOMENTUM * momentum - rate * gradient
            momenta.append(momentum)
            weights.append(weight + MOMENTUM * momentum - rate * gradient)
        return {"trainable": weights, "fixed": fixed, "momenta": momenta}, (value, hits)

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state, pixels, key, rates, videos, table, stride, single):
        keys = jax.random.split(key, len(rates))
        body = functools.partial(step, pixels, table, stride, single)
        state, (losses, hits) = jax.lax.scan(body, state, (keys, rates, videos))
        return state, losses.mean(), hits.mean()

    return epoch


def of_labels(call, clip, videos, numbers, table, key):
    """Cross-entropy of logits; hits are right answers."""
    logits, fixed = call(clip)
    logits, labels = logits.astype("float32"), table["labels"][videos]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
    return -chosen.mean(), (fixed, (logits.argmax(-1) == labels).mean())


def of_teacher(call, clip, videos, numbers, table, key, temperature=2.0, feature_weight=1.0):
    """Hinton et al. 2015: cross-entropy to a teacher's softened answers, times T^2, and the cosine distance to its
    features; hits are agreements. The model gives `(logits, projected features)`."""
    (logits, features), fixed = call(clip)
    window = window_of(numbers, videos, table)
    soft = table["teacher_logits"][window].astype("float32") / temperature
    logits = logits.astype("float32")
    mine = jax.nn.log_softmax(logits / temperature)
    kd = -(jax.nn.softmax(soft) * mine).sum(-1).mean() * temperature**2
    apart = 1 - (unit(features) * unit(table["teacher_features"][window])).sum(-1).mean()
    return kd + feature_weight * 10 * apart, (fixed, (logits.argmax(-1) == soft.argmax(-1)).mean())


def window_of(numbers, videos, table):
    """The teacher's window whose middle is nearest to that of the clip."""
    middle = numbers[:, numbers.shape[1] // 2]
    window = jnp.round((middle - table["window_span"] / 2) / table["window_step"]).astype(jnp.int32)
    window = jnp.clip(window, 0, table["windows"][videos] - 1)
    return table["first_window"][videos] + window


def of_pairs(call, clip, videos, numbers, table, key):
    """Binary cross-entropy of B true and B false pairs of frames and clip (paper, section 3.2)."""
    frames = frame_features(numbers, videos, table)
    (positive, negative), fixed = call(clip, frames)
    logits = jnp.concatenate([positive, negative])[:, 0].astype("float32")
    labels = jnp.concatenate([jnp.ones(len(positive)), jnp.zeros(len(negative))])
    loss = jnp.maximum(logits, 0) - logits * labels + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return loss.mean(), (fixed, ((logits > 0) == (labels > 0.5)).mean())


def of_frames(call, clip, videos, numbers, table, key):
    """The cosine distance to the frozen 2D network's features of the clip's frames; hits are cosines."""
    features, fixed = call(clip)
    wanted = frame_features(numbers, videos, table)
    cosine = (unit(features) * unit(wanted)).sum(-1).mean()
    return 1 - cosine, (fixed, cosine)


def frame_features(numbers, videos, table):
    """The frozen 2D network's features, averaged over the frames of a clip."""
    places = table["first_frame_feature"][videos][:, None] + numbers // table["frame_step"]
    return table["frame_features"][places].astype("float32").mean(1)


def unit(x):
    x = x.astype("float32")
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def predict_function(model, clips, output=None):
    """`(state, pixels, first, counts, starts, stride, order, single)` -> what the model says of centre crops."""
    height, width, _ = SIZES[clips.source]
    top, left = (height - clips.size) // 2, (width - clips.size) // 2

    @jax.jit
    def predict(state, pixels, first, counts, starts, stride, order, single):
        b = len(starts)
        clip, numbers = cut(
            clips,
            pixels,
            first,
            counts,
            starts,
            jnp.full(b, top, jnp.int32),
            jnp.full(b, left, jnp.int32),
            jnp.zeros(b, bool),
            stride,
            order,
            single,
        )
        said, _ = model.stateless_call(state["trainable"], state["fixed"], clip, training=False)
        return output(said) if output else said

    return predict


def predict_all(
    predict, state, store, clips, rows, batch=128, stride=None, order=None, single=False
):
    """What a network says of clips `(video, start)`, in their order; the last batch is filled up."""
    order = np.arange(clips.frames) if order is None else order
    said = []
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        full = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
        video, start = full[:, 0], full[:, 1]
        said.append(
            predict(
                state,
                store.frames[clips.source],
                jnp.asarray(store.first[clips.source][video]),
                jnp.asarray(store.counts[video]),
                jnp.asarray(start - start % clips.every),
                stride or clips.stride,
                jnp.asarray(order),
                single,
            )
        )
    said = jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *said)
    return jax.tree.map(lambda x: x[: len(rows)], said)


def accuracy(logits, rows, labels):
    """clip@1, video@1 and video@5 in per cent; a video's answer is the mean of its clips' softmax."""
    logits = np.asarray(logits, np.float32)
    e = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = e / e.sum(-1, keepdims=True)
    total = np.zeros((len(labels), probabilities.shape[1]))
    np.add.at(total, rows[:, 0], probabilities)
    seen = np.unique(rows[:, 0])
    ranks = (-total[seen]).argsort(-1)
    truth = labels[seen]
    return {
        "clip@1": 100 * float((probabilities.argmax(-1) == labels[rows[:, 0]]).mean()),
        "video@1": 100 * float((ranks[:, 0] == truth).mean()),
        "video@5": 100 * float((ranks[:, :5] == truth[:, None]).any(-1).mean()),
    }


def cosine(peak, steps, warmup):
    """The learning rate of each step: linear warm-up, then half a cosine to zero."""
    at = np.arange(steps)
    rate = 0.5 * peak * (1 + np.cos(np.pi * np.clip((at - warmup) / (steps - warmup), 0, 1)))
    return np.where(at < warmup, peak * (at + 1) / max(1, warmup), rate).astype(np.float32)


def schedule_videos(videos, steps, batch, rng):
    """`(steps, batch)`: the videos in random order, again and again; no video twice in a batch where they last."""
    order = []
    while len(order) < steps * batch:
        order.extend(rng.permutation(videos))
    return np.array(order[: steps * batch], np.int32).reshape(steps, batch)
