"""What was done, in short: data, net, optimizer, rate, schedule, batch, length and seeds of the runs of a report."""

from collections.abc import Iterable

from lab.records.results import Run
from lab.studies.comparison.compare import Comparison
from lab.studies.select.selectors import Flat, show
from lab.studies.statistics.numerals import count, seed_spans

MOST_VALUES = 6
"""Values of one fact that are listed."""

CHANGES = {"augment": "none", "label_noise": 0.0, "imbalance": 1.0, "unseen": [], "resize": None}
"""What may change the images of a data set, by its key in `data`, and the value that changes nothing."""

SPLITS = {"train": "training", "val": "validation", "test": "test"}


def done(comparison: Comparison) -> list[tuple[str, str]]:
    """(what, how) for each thing that a reader asks first; several values where runs differ."""
    runs = [*comparison.runs, *comparison.failed]
    facts = {
        "data": several(map(data_text, runs)),
        "net": several(net_text(run.config) for run in runs),
        "parameters": several(f"{run.result['num_params']:,}" for run in runs if "num_params" in run.result),
        "initialisation": several(str(run.config["model.init"]) for run in runs),
        "optimizer": several(optimizer_text(run.config) for run in runs),
        "learning rate": several(show(run.config["optimizer.lr"]) for run in runs),
        "schedule": several(schedule_text(run.config) for run in runs),
        "batch": several(count(run.config["train.batch_size"], "image") for run in runs),
        "length": several(map(length_text, runs)),
        "seeds": f"{seed_spans(run.seed for run in runs)}; {count(len({run.path for run in runs}), 'run')} in all",
    }
    return [(what, how) for what, how in facts.items() if how]


def several(values: Iterable[str]) -> str:
    """The different `values`, `a; b`; of many the first."""
    found = list(dict.fromkeys(values))
    rest = len(found) - MOST_VALUES
    return "; ".join(found if rest <= 0 else [*found[:MOST_VALUES], f"and {rest} more"])


def data_text(run: Run) -> str:
    """`digits: 1,150 training, 288 validation and 359 test images, augment crop-flip`."""
    config, sizes = run.config, run.result.get("num_images") or {}
    parts = [f"{sizes[key]:,} {name}" for key, name in SPLITS.items() if key in sizes]
    text = f"{config['data.name']}: {', '.join(parts[:-1])} and {parts[-1]} images" if parts else config["data.name"]
    own = [f"{key} {show(config[f'data.{key}'])}" for key, usual in CHANGES.items() if config[f"data.{key}"] != usual]
    return ", ".join([text, *own])


def net_text(config: Flat) -> str:
    """`mlp: linear-act, widths 64-64, depth 3`, or the name of a whole net."""
    name, choice = str(config["model.name"]), config.get("model")
    text = name
    if name == "recipe":
        text = (
            f"{config['model.block']}, widths {show(config['model.widths']) or 'none'}, depth {config['model.depth']}"
        )
        text += f", shortcut {config['model.skip']}" * (config["model.skip"] != "none")
    return text if choice in (None, name) else f"{choice}: {text}"


def optimizer_text(config: Flat) -> str:
    """`adamw, weight decay 0.01`."""
    decay = config["optimizer.weight_decay"]
    return f"{config['optimizer.name']}{f', weight decay {show(decay)}' if decay else ''}"


def schedule_text(config: Flat) -> str:
    """`cosine, warm-up over 0.1 of the run`."""
    warm_up = config["schedule.warmup_frac"]
    return f"{config['schedule.name']}{f', warm-up over {show(warm_up)} of the run' if warm_up else ''}"


def length_text(run: Run) -> str:
    """`10 epochs (170 steps)`; `200 steps`."""
    config, planned = run.config, run.result.get("steps_planned", run.result.get("steps"))
    if config["train.steps"] is not None:
        return count(config["train.steps"], "step")
    epochs = f"{show(config['train.epochs'])} epoch{'s' * (config['train.epochs'] != 1)}"
    return f"{epochs} ({count(planned, 'step')})" if planned is not None else epochs
