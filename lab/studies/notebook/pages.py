"""The files of the notebook: what each should hold, which differ, and writing them without touching anybody's own."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.records.read import begins, read_json
from lab.records.write import remove_file, write_atomically, write_json
from lab.studies.notebook.committed import FACTS
from lab.studies.notebook.index import Entry, find_entries, index, read_entry
from lab.studies.notebook.literature import FILE as CLAIMS
from lab.studies.notebook.literature import claims_page, read_claims
from lab.studies.notebook.notes import read_notes
from lab.studies.notebook.sheet import MARK, Asked, sheet

PAGE = "README.md"


def rendered_page(folder: Path, asked: Asked) -> str:
    """The page of the experiment in `folder`; raises `UserError` where notes or results are wrong."""
    return page_of(read_entry(folder, asked))


def page_of(entry: Entry) -> str:
    assert entry.notes
    return sheet(entry.name, entry.notes, entry.results, entry.asked)


def rendered(root: Path, asked: Mapping[str, Asked], pages: bool = True) -> dict[Path, str]:
    """What each file of the notebook `root` should hold: pages with notes, the index, and the claims if there are some.

    Args:
        root: the notebook's folder.
        asked: by name what the configurations say.
        pages: whether with the pages, or only what is made from all of them.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; it holds <name>/notes.md for each experiment")
    entries, claims = find_entries(root, asked), read_claims(root)
    found = {entry.folder / PAGE: page_of(entry) for entry in entries if entry.notes and pages}
    found[root / PAGE] = index(entries, bool(claims))
    if claims:
        found[(root / CLAIMS).with_suffix(".md")] = claims_page(claims, entries)
    return found


def differing(files: Mapping[Path, str]) -> list[Path]:
    """Those of `files` that hold something else, or are not there."""
    return [path for path, text in files.items() if not holds(path, text)]


def holds(path: Path, text: str) -> bool:
    """Whether the file `path` holds `text`."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def is_generated(path: Path) -> bool:
    """Whether the lab rendered the file `path`."""
    return begins(path, MARK)


def check_free(paths: Iterable[Path], replace: bool = False) -> None:
    """Raises `UserError` where one of `paths` holds what the lab has not rendered, unless it may `replace` that."""
    for path in paths:
        if (path.exists() or path.is_symlink()) and not is_generated(path) and not replace:
            raise UserError(f"{path} was not made by lab page; move it away first, or give --replace")


def write_files(files: Mapping[Path, str]) -> list[Path]:
    """Writes those of `files` that differ, and names them."""
    changed = differing(files)
    for path in changed:
        write_atomically(path, files[path].encode())
    return changed


def store(kept: Mapping[str, Any], folder: Path, replace: bool = False) -> None:
    """Writes what `lab.studies.notebook.collect.collect` found into `folder`, and removes figures of earlier results.

    Raises:
        UserError: a file is in the way that is not of committed results.
    """
    there = folder / FACTS
    if not there.exists() and not replace and (others := [name for name in kept if (folder / name).exists()]):
        raise UserError(f"{folder} holds {', '.join(others)} of something else; move it away first, or give --replace")
    if there.exists():
        old = read_json(there, "remove it")
        figures = old.get("figures") if isinstance(old, dict) else None
        for figure in figures or ():
            name = figure.get("file", "") if isinstance(figure, dict) else ""
            own = isinstance(name, str) and name.endswith((".png", ".gif")) and Path(name).name == name
            if own and name not in kept:
                remove_file(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in kept.items():
        if isinstance(content, bytes | str):
            write_atomically(folder / name, content.encode() if isinstance(content, str) else content)
        else:
            write_json(folder / name, content)


def check_notes(folder: Path) -> None:
    """Raises `UserError` where the experiment in `folder` has no notes, or wrong ones."""
    read_notes(folder)
