"""What the verbs take that use the net of one finished run."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.cli.parser import parser_of


def take_run(parser: argparse.ArgumentParser) -> None:
    """The run, by its folder."""
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a run, or one that holds only it")


def take_which(parser: argparse.ArgumentParser) -> None:
    """Which weights of the run, and whether its code may be run."""
    parser.add_argument("--best", action="store_true", help="the weights of its best point (train.keep_best=true)")
    parser.add_argument(
        "--own-parts", action="store_true", help="run the code, module:attribute, that the run's configuration names"
    )


def predict_parser() -> argparse.ArgumentParser:
    """Of `lab predict`."""
    parser = parser_of(
        "predict",
        "Predicts the test images of a finished run, many times with its drops active, and writes a row per image:\n"
        "mean probability, interval, entropy, mutual information (Monte-Carlo dropout, Gal and Ghahramani 2016).",
        "lab predict outputs/scratch/drop_rate=0.2-6efc2e4d/seed=0 --passes 100 --noise 0.5",
    )
    take_run(parser)
    parser.add_argument("--passes", type=int, default=100, help="passes; 1 is plain, with the drops off (100)")
    parser.add_argument("--noise", metavar="S", type=float, default=0.0, help="add N(0, S^2) to the scaled images (0)")
    parser.add_argument("--rotate", metavar="DEG", type=float, default=0.0, help="rotate counter-clockwise (0)")
    parser.add_argument("--limit", metavar="N", type=int, help="predict only N of the images (all)")
    parser.add_argument("--device", default="auto", help="as train.device (auto)")
    take_which(parser)
    parser.add_argument("--out", metavar="FILE.csv", type=Path, help="where the rows go (RUN/predictions.csv)")
    return parser


def export_parser() -> argparse.ArgumentParser:
    """Of `lab export`."""
    parser = parser_of(
        "export",
        "Writes the net of a finished run for other programs, with the scaling inside: pixel values as the data set\n"
        "gives them in, the net's outputs out. The file is left only where its outputs equal the run's own.",
        "lab export outputs/scratch --format onnx",
    )
    take_run(parser)
    parser.add_argument(
        "--format", metavar="FORM", help="state_dict, torchscript or onnx (onnx for FILE.onnx, else state_dict)"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where it goes (RUN/export.onnx, ...)")
    parser.add_argument("--replace", action="store_true", help="overwrite a file that is there")
    take_which(parser)
    return parser


OF_RUN: dict[str, Callable[[], argparse.ArgumentParser]] = {"predict": predict_parser, "export": export_parser}
"""Of each of these verbs."""
