"""What is known to go wrong with Darknet's layers: sentences by layer, shown where one diverges."""

from __future__ import annotations

_NORMAL = (
    "batch normalisation divides by sqrt(variance + 1e-5) (pjreddie's CPU: by sqrt(variance) + 1e-6); the file has "
    "biases, scales, mean, variance, then weights"
)
_ACTIVATION = "the activation is logistic where a cfg names none; leaky has a slope of 0.1"
_HEAD = "anchors of [yolo] are pixels of the input, those of [region] cells of the grid"
_RECURRENT = "the two dialects store the gates in different orders, and the file does not tell which"

TRAPS: dict[str, tuple[str, ...]] = {
    "convolutional": (_NORMAL, _ACTIVATION, "pad=1 means half the size, whatever padding= says"),
    "connected": (
        _NORMAL.replace("then weights", "behind the weights"),
        _ACTIVATION,
        "old files hold the matrix turned",
    ),
    "deconvolutional": (_NORMAL, _ACTIVATION, "weights are (in, out, size, size)"),
    "local": (_ACTIVATION, "weights are place by place; there is a bias for each value"),
    "batchnorm": (_NORMAL, "there are no biases for it in the file"),
    "maxpool": ("padding is the total of both ends, size - 1 by default; windows start at -(padding / 2)",),
    "local_avgpool": ("padding is the total of both ends, size - 1 by default, and is not counted",),
    "reorg": ("it is no space-to-depth; [reorg3d] is",),
    "route": ("groups and group_id are AlexeyAB's; pjreddie's ignores them",),
    "shortcut": ("unequal sizes are added where they overlap; alpha and beta are pjreddie's, weights AlexeyAB's",),
    "crop": ("0..1 becomes -1..1 unless noadjust is set",),
    "normalization": ("alpha is not divided by the size, and channel size / 2 is never added",),
    "yolo": (_HEAD, "scale_x_y and new_coords are AlexeyAB's; with new_coords there is no sigmoid in the layer"),
    "gaussian_yolo": (_HEAD,),
    "region": (_HEAD, "without softmax pjreddie's takes the sigmoid of classes, AlexeyAB's leaves them"),
    "gru": (_RECURRENT, "the new state is logistic unless pjreddie's tanh is set"),
    "lstm": (_RECURRENT,),
    "rnn": ("state = act(input) + act(state before): two activations, not one of the sum",),
    "crnn": ("state = act(input) + act(state before): two activations, not one of the sum",),
}


def traps(operator: str) -> tuple[str, ...]:
    """Sentences on a layer; none for one that has no known trap."""
    return TRAPS.get(operator, ())
