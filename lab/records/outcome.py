"""How runs end, in words: a line for each way, and what to do next."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

EARLY = {"patience": "train.patience", "seconds": "train.max_seconds"}
"""What ends a run before its last step, by `stopped_by` of its result: the key."""

NEXT_STEPS = {
    "train.patience": "a larger train.patience trains longer, and train.patience=0 to the last step",
    "train.max_seconds": "a larger train.max_seconds trains longer",
    "diverged": "a lower optimizer.lr (lab lr-range suggests one) or train.clip_norm=1 may keep it finite",
    "interrupted": "the same command goes on from its checkpoint",
    "failed": "mend the cause, and the same command trains what is missing",
}
"""What to do after a way of ending; nothing after a run that got to its last step."""


def ended_by(result: dict[str, Any]) -> str:
    """The way in which a run ended: its status, or the key that ended it before its last step."""
    early = EARLY.get(result.get("stopped_by") or "")
    return early if early and result["status"] == "finished" else result["status"]


def outcome(result: dict[str, Any]) -> str:
    """How a run ended: `finished`, `finished early at step 40 of 200 (train.patience=3)`, `interrupted at step 40 of
    200`, `diverged at step 12 (gradient of stage1.conv not finite)`, `failed`."""
    status, way, found = result["status"], ended_by(result), result.get("diverged_at")
    planned = result.get("steps_planned")
    at = f" at step {result['steps']:,}{f' of {planned:,}' if planned else ''}" if "steps" in result else ""
    if way in EARLY.values():
        return f"finished early{at} ({way}={result.get('config', {}).get(way)})"
    if status == "interrupted":
        return f"{status}{at}"
    if status == "diverged" and found:
        place = f" of {found['layer']}" if found["layer"] else ""
        return f"{status} at step {found['step']} ({found['what']}{place} not finite)"
    return status


def next_steps(results: Iterable[dict[str, Any]], told: Collection[str] = ()) -> list[str]:
    """A line for each way in which some of `results` ended that leaves something to do, with their number if there are
    several results; none for the ways that are `told` elsewhere."""
    results = list(results)
    lines = []
    for way, number in Counter(map(ended_by, results)).items():
        if way in NEXT_STEPS and way not in told:
            words = way if way not in EARLY.values() else f"finished early ({way})"
            who = f"{number} of {len(results)} runs {words}: " if len(results) > 1 else ""
            lines.append(f"{who}{NEXT_STEPS[way]}")
    return lines
