"""What a user may choose for the reference, the arm that the others are compared with: `{model.act: tanh}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import UserError, nearest
from lab.studies.select.arms import DEFAULTS, differing_keys, is_group, is_identity
from lab.studies.select.selectors import Flat, pick

NAME = "the study's reference"
REMEDY = "study.reference={} takes the first arm"


def check_form(reference: Any) -> None:
    """Raises `UserError` unless `reference`, of a study, is a mapping."""
    if not isinstance(reference, Mapping):
        example = "'study.reference={model.act:tanh}'"
        raise UserError(f"study.reference={reference}: allowed: keys with values, in quotes, as {example}")


def check_reference(
    reference: Flat, arms: Sequence[Flat], by: Sequence[str] = (), name: str = NAME, remedy: str = REMEDY
) -> None:
    """Checks that `reference` picks an arm.

    Args:
        reference: keys with values.
        arms: complete flat configurations, one or more of each arm.
        by: the full keys that make the arms, where the user said so.
        name: where the reference comes from, for the message.
        remedy: what else the user can do, for the message.

    Raises:
        UserError: a key makes no arm, or no arm has the values.
    """
    check_keys(reference, by, name, f"; the arms differ in: {', '.join(by or differing_keys(arms)) or 'nothing'}")
    pick(arms, reference, name, remedy)


def check_keys(reference: Flat, by: Sequence[str] = (), name: str = NAME, allowed: str = "") -> None:
    """Raises `UserError` for a key that is none of `by`, or of all that make arms; a group stands for its name."""
    # The root does for folders, and for the user's data.
    keys = by or [key for key in DEFAULTS if is_identity(key) or key == "data.root"]
    for key in map(str, reference):
        if key not in keys and f"{key}.name" not in keys and (by or not is_group(key)):
            known = key in DEFAULTS or f"{key}.name" in DEFAULTS
            what = "makes no arms" if known else f"is no key of the configuration{nearest(key, keys)}"
            raise UserError(f"{name}: {key} {what}{allowed}")
