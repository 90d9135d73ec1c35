"""Where deep tanh nets stop to train on MNIST, beside the depth scale that theory predicts: accuracy after a few steps.

    python benchmarks/depth_scale.py --root data --out outputs/depth_scale

Plain nets of `linear-act`, biases 0 at the start, weights of variance s / fan_in, over depth and s. Gradients change
with depth as exp(-depth / xi) below s = 1, where differences between images fade as fast, and as exp(depth / xi) above
(Schoenholz et al. 2017, "Deep information propagation"); the limit drawn is 6 xi. A stopped run goes on where it was.
"""

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lab.overrides.plan import all_jobs
from lab.records.places import Job
from lab.records.results import read_result
from lab.runs.run import run
from lab.studies.figures.files import figure_bytes
from lab.studies.figures.style import COLORS, STYLE

DEPTHS = (8, 16, 32, 48)
VARIANCES = (0.4, 0.7, 0.9, 1.0, 1.7, 2.5, 4.0)

TRAINS_TO = 6
"""Depth scales up to which nets trained in Schoenholz et al. 2017, figure 5."""


def depth_scale(variance: float) -> float:
    """xi of gradients in tanh nets whose weights have `variance` over fan_in, biases 0; infinite at 1."""
    nodes = np.linspace(-8, 8, 4001)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    q = 1.0
    for _ in range(20000):  # to the fixed point of the variance; slow near 1
        q = variance * float(weights @ np.tanh(math.sqrt(q) * nodes) ** 2)
    slope = 1 / np.cosh(math.sqrt(q) * nodes) ** 2
    rate = variance * float(weights @ slope**2)  # a layer's factor of the mean square of gradients
    return 1 / abs(math.log(rate)) if variance != 1 else math.inf


def job_of(depth: int, variance: float, args: argparse.Namespace) -> Job:
    """The run of one cell."""
    gain = f"{math.sqrt(variance):.6g}"
    words = [
        *("data=mnist", f"data.root={args.root}", "data.limit=4000", "train.batch_size=64"),
        *("model.block=linear-act", f"model.widths=[{args.width}]", "model.act=tanh", "model.init=lecun_normal"),
        *(f"model.depth={depth}", f"model.init_gain={gain}", "optimizer.name=momentum", f"optimizer.lr={args.lr}"),
        *(f"train.steps={args.steps}", "train.eval_limit=1000", "train.eval_every=100", "train.device=cpu"),
        *(f"out={args.out}", "name=depth_scale", "train.pictures=0", "train.threads=1", "schedule.name=constant"),
    ]
    return all_jobs("train", words)[0][0]


def accuracy(job: Job) -> float:
    """Validation accuracy at the end; trains the run if that has not been done."""
    result = (read_result(job.folder) if job.is_terminal() else None) or run(job)
    return result["metrics"]["val/accuracy"]["last"] or 0.1  # a diverged net guesses


@rc_context(STYLE)
def draw(found: np.ndarray, steps: int) -> Figure:
    """Accuracy by depth and variance, (depth, variance), with the predicted limit."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(found, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(found):
        color = "white" if value > 0.6 else "#333333"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=color)
    fine = np.linspace(0, len(VARIANCES) - 1, 141)
    variances = np.interp(fine, range(len(VARIANCES)), VARIANCES)
    limits = np.array([TRAINS_TO * depth_scale(float(one)) for one in variances])
    places = np.interp(limits, DEPTHS, range(len(DEPTHS)), left=np.nan, right=np.nan)
    axis.plot(fine, places, color=COLORS[1], linewidth=2, label=f"predicted limit, {TRAINS_TO} depth scales")
    axis.set_xticks(range(len(VARIANCES)), [f"{one:g}" for one in VARIANCES])
    axis.set_yticks(range(len(DEPTHS)), [str(one) for one in DEPTHS])
    axis.set_xlabel("weight variance times fan-in")
    axis.set_ylabel("layers with weights")
    figure.colorbar(shown, ax=axis, label=f"validation accuracy after {steps} steps")
    figure.legend(loc="outside upper left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="folder of the data sets")
    parser.add_argument("--out", default="outputs", help="where the runs go")
    parser.add_argument("--svg", type=Path, default=Path("benchmarks/depth_scale.svg"), help="where the figure goes")
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    found = np.zeros((len(DEPTHS), len(VARIANCES)))
    for (row, depth), (column, variance) in itertools.product(enumerate(DEPTHS), enumerate(VARIANCES)):
        found[row, column] = accuracy(job_of(depth, variance, args))
        limit = TRAINS_TO * depth_scale(variance)
        print(
            f"depth {depth:3}  variance {variance:4}  limit {limit:6.1f}  accuracy {found[row, column]:.3f}", flush=True
        )
    args.svg.write_bytes(figure_bytes(draw(found, args.steps), "svg"))


if __name__ == "__main__":
    main()
