"""What was proved of the sides of a claim before they trained."""

from collections.abc import Iterable, Sequence

from lab.records.checked import Checked, OneFunction
from lab.records.results import Run
from lab.studies.select.pairs import match


def find_proof(sides: Sequence[Iterable[Run]], open_keys: Sequence[str], checked: Checked) -> OneFunction | None:
    """The proof that two `sides` are one function at each level of `open_keys`; of four, both pairs of them.

    Its reasons are those of all levels, and it is free where that of any level is.
    """
    found: dict[tuple[str, ...], OneFunction] = {}
    for _, _, cells in match(sides, open_keys):
        for left, right in zip(cells[::2], cells[1::2], strict=False):
            arms = tuple(sorted({run.arm_id for run in [*left, *right]}))
            proof = found.get(arms) or checked.proof(arms)
            if proof is None:
                return None
            found[arms] = proof
    return united(list(found.values()))


def united(proofs: Sequence[OneFunction | None]) -> OneFunction | None:
    """What `proofs` show together; nothing where one is missing."""
    known = [proof for proof in proofs if proof]
    if not known or len(known) < len(proofs):
        return None
    arms = dict.fromkeys(arm for proof in known for arm in proof.arms)
    reasons = dict.fromkeys(reason for proof in known for reason in proof.reasons)
    return OneFunction(tuple(arms), tuple(reasons), any(proof.free for proof in known))


def proof_text(proof: OneFunction | None) -> list[str]:
    """The sentence about a proof, if there is one."""
    if proof is None:
        return []
    what = "can express the same functions" if proof.free else "are one function of their weights"
    return [f"Proved before training: both sides {what} ({'; '.join(proof.reasons)})."]
