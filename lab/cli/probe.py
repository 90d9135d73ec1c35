"""`lab probe`: nets at their start, prediction beside measurement."""

import argparse
from pathlib import Path

from lab.errors import UserError, nearest
from lab.overrides.plan import Options, all_jobs
from lab.records.places import Job
from lab.studies.select.selectors import label


def probe(args: argparse.Namespace, options: Options) -> int:
    """Prints a table for each configuration and writes the files; 0.

    Raises:
        UserError: a flag or an override is wrong, or the folder holds somebody else's files.
    """
    from lab.checks.probe.profile import check_draws
    from lab.checks.probe.render import AS, FORMATS

    if args.format not in FORMATS:
        raise UserError(
            f"--format={args.format} is unknown{nearest(args.format, FORMATS)}; there are: {', '.join(FORMATS)}"
        )
    check_draws("--draws", args.draws)
    jobs = arms(args.overrides, options)
    from lab.checks.probe.files import PROBES, claim, write_probe
    from lab.checks.probe.profile import probe as profile
    from lab.system.devices import set_threads

    config = jobs[0].config
    folder = Path(config.out) / PROBES / config.name if args.out is None else args.out
    claim(folder, f"out={config.out}" if args.out is None else f"--out={args.out}")
    set_threads(config.train.threads)
    profiles = [profile(job.config, args.draws, label(job.arm) or job.config.name) for job in jobs]
    write_probe(folder, profiles, [job.folder.parent.name for job in jobs])
    print(AS[args.format](profiles))
    if args.format == "text":
        print(f"figure: {folder}/probe.svg and .png, numbers: probe.json, TensorBoard: lab board {folder}")
    return 0


def arms(typed: list[str], options: Options) -> list[Job]:
    """A job for each configuration that the overrides stand for, its first seed."""
    found: dict[Path, Job] = {}
    for batch in all_jobs("probe", typed, options):
        for job in batch:
            found.setdefault(job.folder.parent, job)
    return list(found.values())
