"""Hydra's own settings, and the words of the lab that do what they ask for: launchers act, the others are refused."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lab.errors import nearest
from lab.overrides.typed import short_word

INSTEAD = {
    "launcher": "the lab starts its runs itself; jobs=N says how many side by side",
    "sweeper": "write a sweep as key=a,b; an experiment's file may have hydra.sweeper.params; "
    "study.tune={optimizer.lr: [0.1, 0.01]} tries values on separate seeds",
    "run": "out=FOLDER and name=NAME say where results go",
    "run.dir": "out=FOLDER and name=NAME say where results go, into <out>/<name>/<arm>/seed=<n>",
    "sweep": "out=FOLDER and name=NAME say where results go",
    "sweep.dir": "out=FOLDER and name=NAME say where results go, of a sweep into <out>/<name>/<arm>/seed=<n>",
    "sweep.subdir": "each run has its folder in that of its arm, <out>/<name>/<arm>/seed=<n>; out=FOLDER and name=NAME "
    "say where",
    "output_subdir": "config.yaml in the folder of a run has its configuration; out=FOLDER and name=NAME say where "
    "results go",
    "job": "a run is named by name=NAME, its arm and its seed",
    "job.name": "name=NAME names a run or a sweep",
    "job.chdir": "a run never changes the working folder, so paths are read from where you type; out=FOLDER says where "
    "results go",
    "job.env_set": "set variables before the command, as VARIABLE=value lab train",
    "job.env_copy": "runs have the variables of the shell",
    "job.config": "the folder of an arm is named by what is swept, and by a hash",
    "verbose": "there is no debug log; result.json of a failed run has the traceback, and train.watch=true shows more "
    "of a net",
    "job_logging": "messages go to the terminal, where 2> FILE keeps them; metrics.jsonl of a run has its figures",
    "hydra_logging": "messages go to the terminal, where 2> FILE keeps them",
    "callbacks": "nothing is called back; lab.train and lab.sweep of Python return results",
    "help": "lab train --help explains the flags, lab list keys the keys",
    "hydra_help": "lab train --help explains the flags, lab list keys the keys",
    "searchpath": "--config-dir FOLDER, or LAB_CONFIG_DIR, adds your own files",
    "mode": "a comma makes a sweep, and --multirun one of a single run",
    "env": "runs have the variables of the shell",
    "overrides": "write key=value by itself",
    "runtime": "result.json of a run has versions, machine and command",
}
"""By setting, without `hydra.` before it, what to write instead."""

LAUNCHERS = {
    "basic": "jobs=1",
    "joblib": "jobs=0",
    "submitit_local": "on=local",
    "submitit_slurm": "on=slurm",
    "ray": "on=ray",
}
"""By launcher the words of the lab that do the same."""

FIELDS = {
    "partition": "on.partition={}",
    "account": "on.account={}",
    "timeout_min": "on.time={}",
    "mem_gb": "on.memory={}",
    "cpus_per_task": "on.cpus={}",
    "gpus_per_node": "on.gpus={}",
    "gpus_per_task": "on.gpus={}",
    "constraint": "on.constraint={}",
    "array_parallelism": "on.array_limit={}",
    "setup": "on.setup={}",
    "n_jobs": "jobs={}",
}
"""By field of a launcher the words of the lab that do the same."""


def is_hydra(text: str) -> bool:
    """Whether a typed word is a setting of Hydra."""
    return bool(re.match(r"\+{0,2}\s*hydra\b", text))


def setting(key: str) -> str:
    """`run.dir` of `hydra.run.dir`; a group, `hydra/launcher`, is named as a section, `launcher`."""
    return re.sub(r"^hydra[./]?", "", key).replace("/", ".").partition("@")[0]


def instead(key: str) -> str:
    """What to write instead of the setting `key`, `hydra.run.dir` or `hydra/launcher`."""
    parts = setting(key).split(".")
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    if (found := next((INSTEAD[one] for one in known if one in INSTEAD), None)) is not None:
        return found
    near = nearest(parts[0], INSTEAD).replace("'", "'hydra.", 1)
    return f"the lab takes none of these settings{near}; lab list keys explains those that it has"


def in_own_words(typed: Sequence[str]) -> tuple[list[str], str]:
    """`typed` with the words of the lab in place of a launcher of Hydra, and a line that says so, empty without one.

    Nothing changes where the lab has no equal for part of it: `refusals` says so.
    """
    given = {key: word for word in typed if (key := launcher_key(word)) is not None}
    values = {key: word.partition("=")[2].strip() for key, word in given.items()}
    words = launcher_words(values)
    placed = any(re.search("[@:]", word.partition("=")[0]) for word in given.values())
    if not words or placed or lost_fields(values):
        return list(typed), ""
    rest = [word for word in typed if launcher_key(word) is None]
    return [*rest, *words], f"note: {short_word(' '.join(given.values()))} is read as {short_word(' '.join(words))}"


def launcher_key(word: str) -> str | None:
    """The field of a launcher that `word` sets, empty for the launcher itself; None of another word."""
    key = re.sub(r"^\+{1,2}", "", word.strip()).partition("=")[0].strip()
    section, _, field = setting(key).partition(".")
    return field if is_hydra(word) and section == "launcher" else None


def launcher_words(values: Mapping[str, str]) -> list[str]:
    """The words of the lab for a launcher and its fields, as far as there are some."""
    of_slurm = values.keys() & (FIELDS.keys() - {"n_jobs"})
    name = values.get("", "submitit_slurm" if of_slurm else "")
    words = [LAUNCHERS[name]] if name in LAUNCHERS else []
    words += [FIELDS[field].format(value) for field, value in values.items() if field in FIELDS]
    return list({word.partition("=")[0]: word for word in words}.values())


def lost_fields(values: Mapping[str, str]) -> list[str]:
    """What of a launcher the lab has no word for."""
    unknown = [f"hydra/launcher={values['']}"] if values.get("", "basic") not in LAUNCHERS else []
    return unknown + [f"hydra.launcher.{field}" for field in values if field and field not in FIELDS]


def refusals(typed: Iterable[str]) -> Iterator[str]:
    """A line for each setting of Hydra among the words `typed`; all those of a launcher are one, with words to copy."""
    of_launcher: dict[str, tuple[str, str]] = {}
    for text in typed:
        if not is_hydra(text):
            continue
        key, _, value = re.sub(r"^\+{1,2}", "", text.strip()).partition("=")
        key, value = key.strip(), value.strip()
        if setting(key).partition(".")[0] == "launcher":
            of_launcher[setting(key).partition(".")[2]] = (text.strip(), value)
        else:
            yield f"{short_word(text.strip())}: {instead(key)}"
    if of_launcher:
        yield launcher_line(of_launcher)


def launcher_line(given: dict[str, tuple[str, str]]) -> str:
    """What to write instead of a launcher and its fields.

    Args:
        given: by field, empty for the launcher itself, the word as it was typed, and its value.
    """
    values = {field: value for field, (_, value) in given.items()}
    name, words = values.get("", ""), launcher_words(values)
    lost = [field for field in lost_fields(values) if field.startswith("hydra.launcher.")]
    line = f"{short_word(' '.join(text for text, _ in given.values()))}: {INSTEAD['launcher']}"
    if words:
        line += f"; write {short_word(' '.join(words))} in place of it"
    elif not name:
        line += "; on=slurm on.partition=NAME on.time=MINUTES asks a cluster for them"
    else:
        line += f"{nearest(name, LAUNCHERS)}; on=local, on=slurm and on=ray say where they run"
    return line + (f"; nothing does what {', '.join(lost)} {'does' if len(lost) == 1 else 'do'}" if lost else "")
