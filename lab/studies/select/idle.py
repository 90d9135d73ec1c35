"""Keys that did nothing: what two sides differ in although their runs, seed by seed, are one and the same."""

from collections.abc import Sequence

from lab.records.results import Run
from lab.studies.select.arms import complete, differing_keys, is_group, prefixes
from lab.studies.select.pairs import match


def idle_keys(sides: Sequence[Sequence[Run]], open_keys: Sequence[str] = ()) -> list[str]:
    """The keys in which sides differ that were built alike in every seed and at every level of `open_keys`.

    Args:
        sides: the runs of two sides; or of the four of an interaction, of which it is enough that those which are
            subtracted first are alike, by either of the two ways.
        open_keys: as for `match`.

    Returns:
        Empty where a run is not known to be the same as its counterpart.
    """
    rows = [cells for _, _, cells in match(sides, open_keys)]
    ways = [[(0, 1), (2, 3)], [(0, 2), (1, 3)]] if len(sides) == 4 else [[(0, 1)]]
    for way in ways:
        pairs = [(cells[a], cells[b]) for cells in rows for a, b in way]
        if pairs and all(one_run([*left, *right]) for left, right in pairs):
            apart = [differing_keys([complete(run.config) for run in [*left, *right]]) for left, right in pairs]
            found = list(dict.fromkeys(key for keys in apart for key in keys))
            groups = prefixes(key for key in found if is_group(key))
            return [key for key in found if not key.startswith(groups)] or ["data.root"]
    return []


def one_run(runs: Sequence[Run]) -> bool:
    """Whether all `runs` are known to be built alike, to the last weight, rate and batch."""
    found = {run.result.get("fingerprint") for run in runs}
    return len(found) == 1 and None not in found
