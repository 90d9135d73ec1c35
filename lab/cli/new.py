"""`lab new`: an experiment of a user's own, as a configuration that composes, and notes to fill in."""

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.cli.claim_text import read_claim
from lab.errors import UserError, check_range, refuse
from lab.launch.tune import compared_arms
from lab.literals import literal
from lab.overrides.files import config_dir, group_files, own_dir
from lab.overrides.plan import Options, all_jobs
from lab.overrides.words import read_words
from lab.records.places import Job
from lab.records.write import write_atomically
from lab.studies.claims.study import check_claims, parse_study
from lab.studies.notebook.notes import FILE as NOTES
from lab.studies.statistics.numerals import count

NOTEBOOK = Path("experiments")

MOST_SEEDS = 200

TEMPLATE = """\
# {title}

## Question

{question}

## Literature

<!-- What is known, with its source; a source's figure is a prediction, and no result of yours. -->

## Prediction

<!-- What you expect, and why, before the first run; the claims of the configuration say it so that it can be
tested. -->

<!-- After the runs: a section "Answer", one sentence without a digit, and "What surprised us", "What would change our
mind". `lab page` puts command, table, verdicts and figures between them. -->
"""


@dataclass(frozen=True)
class Draft:
    """What an experiment is to be."""

    name: str
    question: str
    source: str
    shared: dict[str, str]
    """What all arms have, files of groups and values of keys."""

    arms: dict[str, dict[str, Any]]
    sweep: dict[str, str]
    seeds: int
    claims: list[dict[str, Any]]


def new(args: argparse.Namespace) -> int:
    """Writes both files, composes the runs, and prints what to type next; 0.

    Raises:
        UserError: a flag is wrong, a file is there already, or the runs do not compose; nothing is written then.
    """
    draft = read_draft(args)
    folder = target(args.dir)
    config, notes = folder / "experiment" / f"{draft.name}.yaml", NOTEBOOK / draft.name / NOTES
    check_new(draft.name, config, notes)
    check_shared(draft.shared, folder)
    made = make_folders([config.parent, notes.parent])
    written: list[Path] = []
    try:
        write_atomically(config, configuration(draft, "?").encode())
        written.append(config)
        jobs = compose(draft.name, folder)
        write_atomically(config, configuration(draft, jobs[0].config.data.name, len(jobs)).encode())
        write_atomically(notes, TEMPLATE.format(title=title_of(draft.name), question=draft.question).encode())
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        if isinstance(error, UserError):
            raise UserError(f"{error}; nothing was written") from None
        raise
    print(*told(draft, config, notes, jobs, args.dir), sep="\n")
    return 0


def read_draft(args: argparse.Namespace) -> Draft:
    """What the flags say; raises one `UserError` with all that is wrong in them."""
    if not re.fullmatch(r"[A-Za-z]\w{0,59}", args.name, re.ASCII):
        raise UserError(f"new {args.name[:80]}: allowed: a name of letters, digits and '_' that begins with a letter")
    question = " ".join(args.question.split())
    if not question:
        raise UserError("new: --question is empty; ask in one sentence what the arms decide")
    check_range("--seeds", args.seeds, 1 <= args.seeds <= MOST_SEEDS, f"1 to {MOST_SEEDS}")
    wrong = list[str]()
    arms, sweep, shared = dict[str, dict[str, Any]](), dict[str, str](), dict[str, str]()
    for text in args.arms:
        name, values = read_arm(text, wrong)
        if name in arms:
            wrong.append(f"--arms '{text}': {name} is there twice")
        arms[name] = values
    for flag, texts, found in (("--sweep", args.sweep, sweep), ("--set", args.set, shared)):
        for text in texts:
            key, sign, value = (part.strip() for part in text.partition("="))
            if not (sign and key and value):
                wrong.append(f"{flag} '{text}': write {'KEY=A,B' if flag == '--sweep' else 'KEY=VALUE'}")
            found[key] = value
    refuse(wrong)
    if len(arms) == 1 or not (arms or sweep):
        raise UserError("new: nothing is compared; give --arms twice or more, or --sweep KEY=A,B")
    claims = [read_claim(text, list(arms)) for text in args.claim]
    return Draft(args.name, question, " ".join(args.source.split()), shared, arms, sweep, args.seeds, claims)


def read_arm(text: str, wrong: list[str]) -> tuple[str, dict[str, Any]]:
    """Name and values of `before: model.block=conv-norm-act`; what is wrong is added to `wrong`."""
    name, sign, rest = text.partition(":")
    if not sign or not name.strip() or "=" in name:
        wrong.append(f"--arms '{text}': write 'NAME: KEY=VALUE ...', as 'before: model.block=conv-norm-act-pool'")
        return name.strip(), {}
    values = {}
    try:
        words = shlex.split(rest)
    except ValueError:
        wrong.append(f"--arms '{text}': a quote without its end")
        return name.strip(), {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (sign and key and value):
            wrong.append(f"--arms '{text}': '{word}' is no KEY=VALUE")
        values[key] = as_yaml(value)
    return name.strip(), values


def as_yaml(text: str) -> Any:
    """`text` as a file should hold it: a number as one where it is written the same, else the text."""
    with suppress(ValueError):
        value = literal(text)
        if isinstance(value, int | float) and not isinstance(value, bool) and str(value) == text:
            return value
    return text


def target(given: str | None) -> Path:
    """The folder of configurations: `--dir`, else the user's own, else that of the working copy one types in.

    Raises:
        UserError: there is none of them.
    """
    if given is not None:
        folder = Path(given).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--dir {given} is a file; give a folder, as mine")
        return folder
    if own := own_dir(None):
        return own
    if Path("configs").resolve() == config_dir().resolve():
        return Path("configs")
    raise UserError(
        "new: --dir says where your configurations are, as --dir mine (or LAB_CONFIG_DIR in the environment)"
    )


def check_new(name: str, config: Path, notes: Path) -> None:
    """Raises `UserError` where the experiment `name` exists already."""
    known = group_files(None)["experiment"]
    if name in known:
        raise UserError(f"{known[name]} is there already; give the experiment another name")
    for path in (config, notes, notes.with_name("README.md")):
        if path.exists() or path.is_symlink():
            raise UserError(f"{path} is there already, and nothing is overwritten; give the experiment another name")


def check_shared(shared: dict[str, str], folder: Path) -> None:
    """Raises `UserError` where what all arms share is no override, or is swept."""
    files = group_files(own_dir(str(folder)) if folder.is_dir() else None)
    words = read_words([f"{key}={text}" for key, text in shared.items()], files)
    refuse(f"--set {word.text}: one value; --sweep runs through several" for word in words if word.swept)
    apart = [word.key for word in words if word.key == "experiment" or word.key.startswith("study.")]
    refuse(f"--set {key}: the experiment that is written sets it" for key in apart)


def make_folders(folders: Sequence[Path]) -> list[Path]:
    """Makes `folders` with those above them; returns the ones that were not there."""
    missing = [path for folder in folders for path in (*reversed(folder.parents), folder) if not path.exists()]
    for path in missing:
        path.mkdir(exist_ok=True)
    return missing


def configuration(draft: Draft, data: str, num_runs: int = 0) -> str:
    """The text of the configuration."""
    params = {**draft.sweep, "seed": f"range(0,{draft.seeds})"}
    study: dict[str, Any] = {"question": draft.question}
    study |= {"source": draft.source} if draft.source else {}
    study |= {"arms": draft.arms} if draft.arms else {}
    study |= {"claims": draft.claims} if draft.claims else {}
    cost = f"{num_runs} runs on {data}, about ? minutes on 2 cores"
    head = f"# {draft.question}\n# lab train experiment={draft.name}\n# {cost}\n"
    choices, values = shared_blocks(draft.shared)
    blocks = [
        *([{"defaults": choices}] if choices else []),
        {"name": draft.name, **values},
        {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": params}}},
        {"study": study},
    ]
    texts = [yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=110) for block in blocks]
    return "# @package _global_\n" + head + "\n".join(texts)


def shared_blocks(shared: dict[str, str]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """What all arms share: the files of groups, for the list of defaults, and the values of keys by section."""
    choices, values = list[dict[str, str]](), dict[str, Any]()
    for key, text in shared.items():
        section, dot, field = key.partition(".")
        if dot:
            values.setdefault(section, {})[field] = yaml_value(text)
        else:
            choices.append({f"override /{key}": text})
    return choices, values


def yaml_value(text: str) -> Any:
    """`text` as YAML would hold it where that is plain: numbers, truth values, null and lists, else the text."""
    try:
        value = literal(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | list) or value is None else text


def compose(name: str, folder: Path) -> list[Job]:
    """The runs of the experiment, its claims checked; raises `UserError` for what is wrong."""
    (jobs,) = all_jobs("train", [f"experiment={name}"], Options(config_dir=str(folder)))
    study = parse_study(jobs[0].config.study)
    check_claims(study, compared_arms(jobs))
    return jobs


def title_of(name: str) -> str:
    """`Act place` for `act_place`."""
    return name.replace("_", " ").strip().capitalize()


def told(draft: Draft, config: Path, notes: Path, jobs: Sequence[Job], given: str | None) -> Iterator[str]:
    """What was written, and what to type next."""
    arms = len({job.folder.parent for job in jobs})
    sizes = (count(arms, "arm"), count(draft.seeds, "seed"), count(len(jobs), "run"), count(len(draft.claims), "claim"))
    yield f"{config}: {', '.join(sizes)}"
    where = f" --config-dir {shlex.quote(given)}" if given is not None and own_dir(given) else ""
    if not draft.claims:
        yield "no claim yet: add study.claims to it before the first run, or nothing is decided"
    yield f"{notes}: question, literature and prediction, to be written before the first run"
    yield "next:"
    yield f"  lab plan{where} experiment={draft.name}"
    yield f"  lab train{where} experiment={draft.name}"
    yield f"  lab page {draft.name} --from {jobs[0].folder.parents[1]}"
