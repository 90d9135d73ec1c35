"""What a net is trained for and how: all that the rules know besides the net."""

from dataclasses import dataclass

from lab.errors import UserError, nearest

TASKS = ("classes", "binary", "labels", "numbers")
"""One of several classes; yes or no; several yes or no at once; numbers to predict."""

LOSSES: dict[str, tuple[str, str]] = {
    # Name as people write it: (what it is, what it takes from the net).
    "cross_entropy": ("cross_entropy", "logits"),
    "focal": ("cross_entropy", "logits"),
    "nll": ("cross_entropy", "log-probabilities"),
    "categorical_crossentropy": ("cross_entropy", "probabilities"),
    "bce": ("bce", "probabilities"),
    "bce_with_logits": ("bce", "logits"),
    "hinge": ("hinge", "scores"),
    "multi_margin": ("hinge", "scores"),
    "mse": ("mse", "values"),
    "mae": ("mae", "values"),
    "l1": ("mae", "values"),
    "smooth_l1": ("mae", "values"),
    "huber": ("mae", "values"),
    "logcosh": ("mae", "values"),
    "mape": ("mae", "values"),
    "msle": ("mse", "values"),
    "kl_div": ("cross_entropy", "log-probabilities"),
    "accuracy": ("accuracy", "values"),
}

ALIASES = {
    "l1_loss": "l1",
    "mse_loss": "mse",
    "nll_loss": "nll",
    "huber_loss": "huber",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_with_logits",
    "multi_margin_loss": "multi_margin",
    "sparse_categorical_crossentropy": "categorical_crossentropy",
    "sparse_categorical_accuracy": "accuracy",
}


@dataclass(frozen=True)
class Task:
    """Task, loss and training of a net; None and empty where it is not known."""

    kind: str
    """One of `TASKS`."""
    num_outputs: int
    """Outputs that the task needs: classes, or numbers to predict."""
    loss: str = ""
    """What the loss is: `cross_entropy`, `bce`, `hinge`, `mse`, `mae`, `accuracy`; empty if it is not known."""
    takes: str = ""
    """What the loss takes from the net: `logits`, `probabilities`, `log-probabilities`, `scores`, `values`."""
    optimizer: str = ""
    lr: float | None = None
    momentum: float = 0.0
    batch_size: int | None = None
    updates: int | None = None
    """Steps of the whole training."""
    inputs: tuple[float, float] | None = None
    """Range of the inputs."""
    targets: tuple[float, float] | None = None
    """Range of the numbers to predict."""
    metric: str = ""
    decay: float = 0.0
    """Weight decay, or the weight of an L2 penalty."""
    decays_all: bool = False
    """Whether it acts on biases and norms, too."""
    init: str = ""
    """The initialisation that was chosen, in words; empty where nobody chose."""

    @property
    def exclusive(self) -> bool:
        """Whether each example has one class of several."""
        return self.kind == "classes" and self.num_outputs > 1


def loss_of(name: str, given: str = "--loss") -> tuple[str, str]:
    """What a loss is, and what it takes from the net; `given` as what, for the message.

    Raises:
        UserError: there is no such loss.
    """
    name = ALIASES.get(name.lower(), name.lower())
    if name not in LOSSES:
        there = ", ".join(LOSSES)
        raise UserError(f"{given}={name}: no such loss{nearest(name, LOSSES)}; there are: {there}")
    return LOSSES[name]


def range_of(text: str) -> tuple[float, float] | None:
    """`0..255` as (0, 255); None of an empty text.

    Raises:
        UserError: it is no range.
    """
    if not text:
        return None
    low, dots, high = text.partition("..")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (1.0, 0.0)
    if not dots or found[0] >= found[1]:
        raise UserError(f"{text} is not a range; a range is LOW..HIGH, as 0..255")
    return found
