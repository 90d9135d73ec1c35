"""`lab page`: the notebook's pages, from committed results and notes."""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from lab.errors import UserError, unknown
from lab.overrides.files import group_files, own_dir
from lab.studies.notebook.notes import FILE as NOTES
from lab.studies.notebook.pages import (
    PAGE,
    check_free,
    check_notes,
    differing,
    is_generated,
    rendered,
    rendered_page,
    store,
    write_files,
)
from lab.studies.notebook.sheet import Asked

NOTEBOOK = Path("experiments")
"""The notebook's folder, where one types."""


def page(args: argparse.Namespace) -> int:
    """Renders a page, or all; 1 where `--check` finds some that differ, else 0.

    Raises:
        UserError: a name or flag is wrong, or a file is in the way.
    """
    check_flags(args)
    if args.check or args.all:
        root = args.to or NOTEBOOK
        files = rendered(root, asked_of(root))
        return check(files) if args.check else write_all(files, args.replace)
    folder = args.to or NOTEBOOK / args.name
    check_name(args.name, folder)
    check_notes(folder)
    check_free([folder / PAGE], args.replace)
    asked = asked_of(folder.parent)
    if args.source is not None:
        from lab.studies.notebook.collect import collect  # late: it needs scipy

        store(collect(args.source, args.name), folder / args.part, args.replace)
    text = rendered_page(folder, asked.get(args.name, Asked()))
    files = {folder / PAGE: text}
    if folder.parent == NOTEBOOK or is_generated(folder.parent / PAGE):
        write_files(files)  # the index reads it
        shared = rendered(folder.parent, asked, pages=False)
        files |= {path: text for path, text in shared.items() if is_generated(path) or not path.exists()}
    write_files(files)
    print(f"page: {folder / PAGE}")
    return 0


def check_flags(args: argparse.Namespace) -> None:
    """Raises `UserError` for flags that do not fit together."""
    if (args.all or args.check) and (args.name or args.source or args.part):
        raise UserError(
            f"page: --{'check' if args.check else 'all'} takes no name, --from or --as: it is about all pages"
        )
    if not (args.all or args.check or args.name):
        raise UserError("page: give the name of an experiment, or --all or --check")
    if args.part and not args.source:
        raise UserError("page: --as says where the results of --from are stored; give both")
    if args.part and not re.fullmatch(r"\w[\w-]*", args.part):
        raise UserError(f"page: --as {args.part}: allowed: letters, digits, '-' and '_', as mnist")


def check_name(name: str, folder: Path) -> None:
    """Raises `UserError` where `name` is no experiment: neither notes in `folder`, nor a configuration."""
    if not re.fullmatch(r"\w[\w-]*", name):
        raise UserError(f"page {name}: allowed: the name of an experiment, letters, digits, '-' and '_'")
    there = {path.parent.name for path in folder.parent.glob(f"*/{NOTES}")} | {
        *group_files(own_dir(None))["experiment"]
    }
    if not folder.is_dir() and name not in there:
        raise UserError(unknown(f"page {name}", name, sorted(there)))


def check(files: Mapping[Path, str]) -> int:
    """Names those of `files` that differ from what they should hold; 1 where one does."""
    wrong = differing(files)
    for path in wrong:
        print(f"{'differs' if path.exists() else 'missing'}: {path}")
    print("'lab page --all' renders them" if wrong else f"{len(files)} files are as lab page renders them")
    return 1 if wrong else 0


def write_all(files: Mapping[Path, str], replace: bool) -> int:
    """Writes those of `files` that differ, unless one of them is not the lab's; 0."""
    check_free(files, replace)
    changed = write_files(files)
    print(*(f"rendered: {path}" for path in changed), f"{len(files)} files, {len(changed)} changed", sep="\n")
    return 0


def asked_of(root: Path) -> dict[str, Asked]:
    """By name what the lab's configurations of experiments say, with links from the folders of `root`; those of a user
    lie anywhere, and a page should not change with the place that `--config-dir` names."""
    return {name: read_asked(path, root / name) for name, path in group_files(None)["experiment"].items()}


def read_asked(path: Path, folder: Path) -> Asked:
    """Question and plan of the configuration `path`; empty where it cannot be read, which training would say."""
    try:
        text = path.read_text(encoding="utf-8")
        study = (yaml.safe_load(text) or {}).get("study") or {}
        question = str(study.get("question") or "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        return Asked()
    comments = [line.lstrip("# ") for line in text.splitlines() if re.match(r"# \d+ .*runs on", line)]
    page_folder = folder.resolve()
    near = path.resolve().is_relative_to(page_folder.parents[1])
    link = Path(os.path.relpath(path.resolve(), page_folder)).as_posix() if near else ""
    return Asked(question, link, comments[0] if comments else "")
