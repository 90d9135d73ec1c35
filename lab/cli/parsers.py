"""What each verb takes: its parser, which the verb, `--help` and completion read."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.cli.parser import parser_of, take_many_runs, take_overrides, take_own_files
from lab.cli.run_parsers import OF_RUN
from lab.cli.scripts import SCRIPTS
from lab.cli.shelf_parsers import OF_SHELF

GONE = {
    "--info": "--cfg job shows the configuration, and lab list keys explains every key",
    "-i": "--cfg job shows the configuration, and lab list keys explains every key",
    "--hydra-help": "lab train --help explains all flags",
    "--shell-completion": 'eval "$(lab completion bash)" completes keys and names at TAB',
    "-sc": 'eval "$(lab completion bash)" completes keys and names at TAB',
    "--config-path": "--config-dir FOLDER adds your own files to those of the lab",
    "-cp": "--config-dir FOLDER adds your own files to those of the lab",
    "--experimental-rerun": "a run's result.json holds the command that repeats it",
    "--run": "without a comma it is one run",
    "-r": "without a comma it is one run",
}
"""Flags of Hydra that the lab has no use for, and what to do instead."""


def train_parser() -> argparse.ArgumentParser:
    """Of `lab train`."""
    parser = parser_of(
        "train",
        "lab train [OVERRIDES]: one run; with commas a sweep; experiment=NAME a whole experiment.\n"
        "`lab list` shows the names of each kind, `lab list keys [PREFIX]` each key with meaning, default and range.",
        "lab train model.block=conv-act-pool,conv-pool-act seed=0,1,2 model.pool=avg",
    )
    take_overrides(parser, "key=value; key=a,b or key=range(0,5) sweeps; group=FILE chooses a file")
    take_many_runs(parser)
    parser.add_argument("--dry-run", "-n", action="store_true", help="what it would do, as lab plan; trains nothing")
    parser.add_argument(
        "--progress",
        metavar="SECONDS",
        type=float,
        help="without a terminal: seconds between two lines on how far it is; 0 for none (60; a single run tells each "
        "logged point)",
    )
    parser.add_argument("--cfg", "-c", metavar="job", choices=["job"], help="print the configuration and train nothing")
    parser.add_argument("--package", "-p", metavar="SECTION", default="", help="with --cfg: only this section")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: fill in what files leave to fill in")
    return parser


def lr_range_parser() -> argparse.ArgumentParser:
    """Of `lab lr-range`."""
    parser = parser_of(
        "lr-range",
        "Trains for some steps while the rate rises exponentially, until the loss blows up; suggests a rate and\n"
        "draws the curve (Smith 2017). Every other key acts as in `lab train`; the schedule is left aside.",
        "lab lr-range optimizer=sgd model.depth=5 --high 1",
    )
    take_overrides(parser, "key=value, as for lab train; no sweep")
    parser.add_argument("--low", metavar="RATE", default=1e-7, type=float, help="first rate, above 0 (1e-7)")
    parser.add_argument("--high", metavar="RATE", default=10.0, type=float, help="last rate, above --low (10)")
    parser.add_argument("--steps", metavar="N", default=200, type=int, help="steps between them, at least 10 (200)")
    return parser


def plan_parser() -> argparse.ArgumentParser:
    """Of `lab plan`."""
    parser = parser_of(
        "plan",
        "What `lab train` with the same words would do: arms, seeds, runs finished and to do, expected time, and\n"
        "whether these seeds can decide each claim. Trains and writes nothing, and is no interim analysis.",
        "lab plan experiment=xavier_vs_he seeds=10",
    )
    take_overrides(parser, "key=value, as for lab train")
    take_many_runs(parser)
    return parser


def lint_parser() -> argparse.ArgumentParser:
    """Of `lab lint`."""
    parser = parser_of(
        "lint",
        "What is wrong with a net before it trains: errors cannot work, warnings will harm, notes are worth knowing.\n"
        "Of a configuration of the lab, or with --module of any torch module. Exit code 1 where there are errors.",
        "lab lint model.depth=30 model.init=xavier_normal",
    )
    take_overrides(parser, "key=value, as for lab train; with commas, or experiment=NAME, the comparison is checked")
    take_many_runs(parser)
    parser.add_argument("--fix", action="store_true", help="print the overrides that repair what is found")
    parser.add_argument("--explain", metavar="CODE", help="why a rule says what it says, with its source")
    parser.add_argument("--select", metavar="CODE", nargs="+", default=[], help="only these rules")
    parser.add_argument("--ignore", metavar="CODE", nargs="+", default=[], help="all but these rules")
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text, json or sarif")
    own = parser.add_argument_group("a net of your own")
    own.add_argument("--module", metavar="PACKAGE.MODULE:NAME", help="called without arguments, makes an nn.Module")
    own.add_argument("--shape", metavar="SIZES", default="", help="of one example, as 3,32,32")
    own.add_argument("--outputs", metavar="N", type=int, default=10, help="classes, or numbers to predict (10)")
    own.add_argument("--task", default="classes", help="classes, binary, labels (several yes or no) or numbers")
    own.add_argument("--loss", default="", help="as torch calls it: cross_entropy, bce_with_logits, nll, mse, ...")
    own.add_argument("--optimizer", default="", help="sgd, adam, rmsprop, ...")
    own.add_argument("--lr", type=float, help="learning rate")
    own.add_argument("--momentum", type=float, default=0.0, help="of sgd (0)")
    own.add_argument("--weight-decay", metavar="DECAY", type=float, default=0.0, help="of all parameters (0)")
    own.add_argument("--batch-size", metavar="N", type=int, help="examples a step")
    own.add_argument("--updates", metavar="N", type=int, help="steps of the whole training")
    own.add_argument("--input", metavar="LOW..HIGH", default="", help="range of the inputs, as 0..255")
    own.add_argument("--targets", metavar="LOW..HIGH", default="", help="range of the numbers to predict")
    return parser


def probe_parser() -> argparse.ArgumentParser:
    """Of `lab probe`."""
    parser = parser_of(
        "probe",
        "Signals and gradients in a net at its start, layer by layer: what theory predicts beside what some draws of\n"
        "the weights show, dead and saturated units, the first update, and the loss; with a figure over depth.",
        "lab probe model.depth=22,30 model.init=xavier_normal,he_normal",
    )
    take_overrides(parser, "key=value, as for lab train; commas put configurations side by side")
    take_many_runs(parser)
    parser.add_argument("--draws", metavar="N", type=int, default=5, help="draws of the weights, 1 to 1000 (5)")
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text or json")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the files go (OUT/_probe/NAME)")
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """Of `lab compare`."""
    parser = parser_of(
        "compare",
        "The table, the tests and the verdicts of the runs under DIR; writes report.html, table.csv, verdict.json. "
        "With several DIR, --by, --metric, --where or --reference it only prints (and writes the page to --html FILE).",
        "lab compare outputs/xavier_vs_he --by model.init model.depth",
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="a folder with runs, as outputs/NAME")
    parser.add_argument("--by", metavar="KEY", nargs="+", help="the keys that make an arm (those that differ)")
    parser.add_argument(
        "--metric", metavar="NAME", help="what is compared (the study's own, else val/accuracy or val/rmse)"
    )
    parser.add_argument("--where", metavar="KEY=VALUE", nargs="+", default=[], help="only these runs")
    parser.add_argument(
        "--reference", metavar="KEY=VALUE", nargs="+", default=[], help="the arm to compare with (the study's own)"
    )
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text, md, csv or json")
    parser.add_argument("--html", metavar="FILE", type=Path, help="where the report goes (DIR/report.html)")
    return parser


def new_parser() -> argparse.ArgumentParser:
    """Of `lab new`."""
    parser = parser_of(
        "new",
        "An experiment of your own: writes DIR/experiment/NAME.yaml and experiments/NAME/notes.md, composes its runs\n"
        "to check them, and says what to type next. Overwrites nothing.",
        "lab new act_place --question 'Before or after?' --arms 'before: model.block=conv-norm-act-pool' "
        "--arms 'after: model.block=conv-act-norm-pool' --claim 'before > after by 0.01' --dir mine",
    )
    parser.add_argument("name", metavar="NAME", help="of the experiment: letters, digits and '_'")
    parser.add_argument("--question", metavar="TEXT", required=True, help="what it asks, in one sentence")
    parser.add_argument("--source", metavar="TEXT", default="", help="where the prediction comes from")
    parser.add_argument(
        "--arms",
        metavar="'NAME: KEY=VALUE ...'",
        action="append",
        default=[],
        help="an arm and what it sets; repeat it",
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="what all arms share; repeat it"
    )
    parser.add_argument(
        "--sweep", metavar="KEY=A,B", action="append", default=[], help="a key that runs through values"
    )
    parser.add_argument(
        "--claim",
        metavar="'A > B'",
        action="append",
        default=[],
        help="'A > B [by 0.01]', 'A < B', 'A > B > C', 'A = B within 0.01'; a side is an arm or KEY=VALUE; repeat it",
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=5, help="seeds of each arm (5)")
    parser.add_argument("--dir", metavar="DIR", help="your folder of configurations (LAB_CONFIG_DIR)")
    return parser


def page_parser() -> argparse.ArgumentParser:
    """Of `lab page`."""
    parser = parser_of(
        "page",
        "Renders experiments/NAME/README.md from notes.md and the results beside it; --from copies those of a folder\n"
        "first. Numbers come from results alone. --all renders every page and the index; --check says which differ.",
        "lab page xavier_vs_he --from outputs/xavier_vs_he",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="of the experiment")
    parser.add_argument("--from", dest="source", metavar="DIR", type=Path, help="results to copy, as outputs/NAME")
    parser.add_argument("--as", dest="part", metavar="DATA", default="", help="store them as those of another data set")
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="folder of the page, with --all of the notebook (experiments)"
    )
    parser.add_argument("--all", action="store_true", help="render every page with notes, and the index")
    parser.add_argument("--check", action="store_true", help="render nothing, name what differs; exit code 1 then")
    parser.add_argument("--replace", action="store_true", help="overwrite a page that was written by hand")
    return parser


def list_parser() -> argparse.ArgumentParser:
    """Of `lab list`."""
    from lab.cli.catalogue import KINDS

    parser = parser_of(
        "list", "What can be chosen, a line each; the keys with their meaning.", "lab list keys schedule"
    )
    parser.add_argument("kind", metavar="KIND", nargs="?", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="only what starts so, as model.init")
    take_own_files(parser)
    return parser


def data_parser() -> argparse.ArgumentParser:
    """Of `lab data`."""
    parser = parser_of("data", "Downloads and verifies data sets ahead of time.", "lab data fetch mnist --root data")
    parser.add_argument("action", choices=["fetch"])
    parser.add_argument(
        "names", metavar="NAME", nargs="+", help="mnist, cifar10, fashion_mnist, kmnist, cifar100, svhn"
    )
    parser.add_argument("--root", default=Path("data"), type=Path, help="the folder of data sets (data)")
    return parser


def board_parser() -> argparse.ArgumentParser:
    """Of `lab board`."""
    parser = parser_of(
        "board",
        "TensorBoard over DIR; further words go to it. Tuning trials lie beside: lab board outputs/_tune/NAME.",
        "lab board outputs/xavier_vs_he",
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    return parser


def completion_parser() -> argparse.ArgumentParser:
    """Of `lab completion`."""
    parser = parser_of(
        "completion",
        "The script with which a shell completes verbs, keys and names at TAB.",
        'eval "$(lab completion bash)"',
    )
    parser.add_argument("shell", metavar="SHELL", help=f"one of: {', '.join(SCRIPTS)}")
    return parser


PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "train": train_parser,
    "plan": plan_parser,
    "lint": lint_parser,
    "probe": probe_parser,
    "lr-range": lr_range_parser,
    "compare": compare_parser,
    "new": new_parser,
    "page": page_parser,
    "list": list_parser,
    "data": data_parser,
    "board": board_parser,
    "completion": completion_parser,
    **OF_RUN,
    **OF_SHELF,
}
"""Of each verb."""


def flags(verb: str) -> list[str]:
    """The long flags of a verb, `--help` last."""
    actions = PARSERS[verb]()._actions if verb in PARSERS else []
    found = [word for action in actions for word in action.option_strings if word.startswith("--")]
    return [*(word for word in found if word != "--help"), "--help"]
