"""Which way a metric is better, told by its name: one rule for training, records and studies."""

LOWER = ("loss", "error", "rmse", "mse", "mae", "seconds_to", "steps_to", "train_seconds", "num_params", "gap(")
"""A metric with one of these in its name is better when it is low: losses, errors, gaps, parameters and all times.
"""


def lower_is_better(metric: str) -> bool:
    """Whether a good run has a low score."""
    return any(word in metric for word in LOWER)
