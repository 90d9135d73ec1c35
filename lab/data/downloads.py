"""Data sets that torchvision downloads, checks and reads, with one clear message if that fails."""

import contextlib
import sys
from pathlib import Path
from shlex import quote
from typing import Any

from lab.errors import DamagedFileError, UserError
from lab.system.vision import torchvision

IDX = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
"""The four files of MNIST and of those made like it."""


def check_names(name: str, root: Path, folder: Path) -> None:
    """Raises `UserError` where the files `IDX` are not in `folder`, but lie elsewhere under `root` or have other names:
    `train-images.idx3-ubyte`, as archives of others call them; the message gives the commands that mend it."""
    moves = []
    for wanted in IDX:
        if any((folder / f"{wanted}{end}").exists() for end in ("", ".gz")):
            continue
        pattern = wanted.replace("-idx", "[-.]idx").replace("-ubyte", "[-.]ubyte")
        for place in dict.fromkeys((folder, folder.parent, root, root / name, root / "raw")):
            found = [path for end in ("", ".gz") for path in sorted(place.glob(f"{pattern}{end}"))]
            # Some archives unpack to a folder that has the file's name, with the file in it.
            found = [path / path.name if path.is_dir() else path for path in found]
            if found and found[0].is_file():
                target = folder / (f"{wanted}.gz" if found[0].suffix == ".gz" else wanted)
                moves.append(f"mv {quote(str(found[0]))} {quote(str(target))}")
                break
    if moves:
        made = "" if folder.is_dir() else f"mkdir -p {quote(str(folder))}; "
        raise UserError(
            f"data={name}: the files are there, but not where torchvision reads them: {made}{'; '.join(moves)}"
        )


def both_parts(name: str, class_name: str, root: Path, files: list[Path], key: str = "train") -> tuple[Any, Any]:
    """Training and test part of a torchvision data set, which downloads and verifies files that are missing.

    Args:
        name: the data set, as the user types it, for the messages.
        class_name: its class in `torchvision.datasets`.
        root: the folder of data sets.
        files: paths of the files that it downloads.
        key: the argument that selects the part: `train` (true, false) or `split` (train, test).

    Raises:
        UserError: the files are missing and the download failed; `DamagedFileError` if one of them is damaged.
    """
    missing = [folder for folder in (files[0].parent, *files[0].parent.parents) if not folder.exists()]
    wanted = ", ".join(path.name for path in files)
    train, test = ("train", "test") if key == "split" else (True, False)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress lines are not part of our answer
            make = getattr(torchvision().datasets, class_name)
            return make(root, **{key: train}, download=True), make(root, **{key: test}, download=True)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            for folder in missing:  # the empty folders that the attempt made
                folder.rmdir()
        reason = " ".join(str(error).split())
        kind = DamagedFileError if any(path.exists() for path in files) else UserError
        raise kind(
            f"data={name}: the files under {root} are missing or damaged, and could not be downloaded; "
            f"put {wanted} into {files[0].parent}, or set data.root= to the folder that has them ({reason})"
        ) from error
    except (ValueError, AssertionError, TypeError) as error:  # raised by torchvision's reader on a damaged file
        raise DamagedFileError(
            f"data={name}: a file under {root} is damaged ({error}); delete the folder {files[0].parent.name} "
            f"to have them downloaded again, or put {wanted} there"
        ) from error
