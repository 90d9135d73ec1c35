"""Whether a sweep can be tuned as its `study.tune` says: told before the first run."""

from collections.abc import Mapping, Sequence

from lab.config import StudyConfig
from lab.errors import UserError, check_range, nearest
from lab.identity import NOT_IDENTITY, arm_hash, default_leaves, flatten
from lab.launch.tune import FIRST_SEED
from lab.ranges import FORMS, is_call
from lab.records.places import Job
from lab.records.tuning import base_id
from lab.space import ranges, space
from lab.studies.claims.study import Study
from lab.studies.select.selectors import canonical


def check_tuning(jobs: Sequence[Job], parsed: Study) -> None:
    """Raises `UserError` for a wrong `study.tune` of the sweep `jobs`, naming what is allowed."""
    study, known = jobs[0].config.study, default_leaves()
    if not isinstance(study.tune, Mapping):
        example = "{optimizer.lr: [0.01, 0.1]} or {optimizer.lr: log(1e-4, 1)}"
        raise UserError(f"study.tune={study.tune}: allowed: keys with lists of values or ranges, as {example}")
    may = [key for key in known if key not in NOT_IDENTITY]
    for key, values in study.tune.items():
        if key not in may:
            what = "is no key to tune" if key in known or key.startswith("study") else "is no key of the configuration"
            raise UserError(
                f"study.tune: {key} {what}{nearest(key, may)}; allowed: what makes an arm, which study.* and "
                f"{', '.join(sorted(NOT_IDENTITY))} do not; in the same group: {', '.join(neighbours(key, may))}"
            )
        is_list = isinstance(values, list) and 1 < len(values) == len(set(map(canonical, values)))
        if not is_list and not is_call(values):
            forms = " or ".join(FORMS.values())
            allowed = f"a list of two or more values, all different, or a range, {forms}"
            raise UserError(f"study.tune: {key}={values}; allowed: {allowed}")
        if len({canonical(job.arm.get(key)) for job in jobs}) > 1:
            raise UserError(f"study.tune: {key} is swept as well; a key is compared or tuned, so take it out of one")
    refuse_idle_budget(study)
    groups = [f"{key}.name" for key in study.reference]
    for key in (*parsed.named_keys(known), *study.reference, *groups):
        if key in study.tune:
            raise UserError(f"study.tune: {key} is named by a claim or the reference; a key is compared or tuned")
    for job in jobs:
        check_range("with study.tune, seed", job.config.seed, job.config.seed < FIRST_SEED, f"0 to {FIRST_SEED - 1}")
    arms: dict[str, Job] = {}
    for job in jobs:
        other = arms.setdefault(base_id(flatten(job.config), list(study.tune)), job)
        if arm_hash(other.config) != arm_hash(job.config):
            raise UserError(
                f"study.tune: the arms of {' '.join(other.overrides)} and {' '.join(job.overrides)} differ in nothing "
                f"but {' and '.join(study.tune)}; a key is compared or tuned"
            )


def refuse_idle_budget(study: StudyConfig) -> None:
    """Raises `UserError` where the budget asks for what `study.tune` has not."""
    axes = space(study.tune)
    if study.tune_widen and not ranges(axes):
        raise UserError(
            f"study.tune_widen={study.tune_widen} widens ranges, and study.tune has none; write one, as "
            f"{next(iter(axes))}: log(low, high), or longer lists"
        )


def neighbours(key: str, keys: Sequence[str]) -> list[str]:
    """Those of `keys` in the group of `key`, or all groups with a star."""
    group = f"{key.partition('.')[0]}."
    return [one for one in keys if one.startswith(group)] or list(dict.fromkeys(f"{k.split('.')[0]}.*" for k in keys))
