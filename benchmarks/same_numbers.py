"""Whether this checkout trains and judges as an earlier commit does: metrics to the bit, verdicts, and stored results.

    python benchmarks/same_numbers.py COMMIT [--keep DIR]

For changes that should not alter numbers. Fifteen configurations, which between them use every kind of part, are
trained by both; `metrics.jsonl` has to be the same to the bit but for the seconds, in a folder of the same name. Three
sweeps are trained by the commit, compared by both, and `verdict.json` (its sentences aside) and `table.csv` have to be
the same; the new
checkout has to recognise all those runs as finished. Exit code 1 where anything differs.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent

SHORT = "train.steps=24 train.batch_size=32 data.limit=250 train.eval_every=1 train.pictures=2"

RUNS = {  # between them every kind of part
    "default": "",
    "norm_drop": "model.block=conv-norm-act-drop-pool model.norm=group model.drop=spatial optimizer=momentum "
    "schedule=warmup_cosine data.augment=crop-flip-cutout model.pool=blur",
    "resnet": "model=resnet model.norm=batch optimizer=nag schedule=one_cycle train.label_smoothing=0.1 "
    "train.clip_norm=1 data.scale=minus_one_one",
    "gate": "model.block=norm-act-conv-pool model.skip=gate model.act=prelu model.init=orthogonal optimizer=adamw "
    "optimizer.weight_decay=0.1 schedule=cosine_restarts train.precision=bf16",
    "concat": "model.skip=concat model.act=maxout model.pool=stochastic model.drop=dropblock "
    "model.block=conv-act-drop-pool optimizer=nadam schedule=plateau schedule.patience=0 train.loss=focal",
    "aux": "model=vgg model.widths=[8,16] model.depth=7 model.aux_blocks=[2] model.head=gap optimizer=muon "
    "train.penalty=elastic train.max_norm=2",
    "lsuv": "model.init=lsuv model.act=noisy_relu model.block=conv-norm-act-pool model.norm=layer model.pool=max_avg "
    "optimizer=lion optimizer.lr=0.0003 schedule=triangular2 train.clip=value train.clip_value=0.01",
    "standardised": "model.weight_std=true model.norm=instance model.block=conv-norm-act-pool model.pool=stride "
    "optimizer=rmsprop schedule=multistep schedule.interval=epochs train.loss=hinge data.label_noise=0.2",
    "mlp": "model=mlp model.act=rrelu model.drop=gaussian model.block=linear-norm-act-drop optimizer=adagrad "
    "schedule=noam data.scale=positive data.imbalance=0.2",
    "inception": "model=inception optimizer=sgd optimizer.lr=0.1 schedule=poly data.resize=16",
    "repaired": "model=repaired_d data=synthetic data.resize=100 train.steps=2 train.batch_size=4 data.limit=40 "
    "train.eval_limit=8 optimizer=adadelta",
    "regression": "data=diabetes model=mlp optimizer=sign_sgd optimizer.lr=0.001 schedule=exponential train.patience=2 "
    "train.eval_every=0.5",
    "dropconnect": "model.block=conv-act-drop-pool model.drop=dropconnect model.drop_rate=0.3 train.clip=sign "
    "schedule=step optimizer.momentum=0.8 train.watch=true",
    "diverging": "optimizer=sgd optimizer.lr=1e20 model.depth=5",
    "points": "data=spirals model=mlp schedule=linear model.init=dirac model.drop=stochastic_depth",
}

STARTS = {  # from a run of those above
    "thawed": "data.classes=[5,6,7,8,9] start.run={out}/default start.freeze_epochs=1 train.steps=30",
    "pruned": "start.run={out}/default start.load=all start.prune=weights start.prune_by=curvature train.steps=4",
}

SWEEPS = {
    "order": "experiment=layer_order train=smoke",
    "factorial": "model.act=relu,tanh model.norm=none,batch model.block=conv-norm-act-pool seed=range(4) train=smoke "
    "'study.claims=[{say: norm helps, higher: {model.norm: batch}, than: {model.norm: none}}]'",
    "tuned": "optimizer=sgd model.act=relu,tanh seed=0,1,2 train=smoke study.tune={optimizer.lr:[0.01,0.1]}",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="what this checkout is compared with")
    parser.add_argument(
        "--keep", type=Path, help="where the earlier commit's runs stay, to be used again (a new folder)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        before = (args.keep or folder / "before").resolve()
        base = folder / "base"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", base, args.commit], cwd=HERE, check=True)
        try:
            if not before.exists():
                make(base, before)
            make(HERE, folder / "after", sweeps=False)
            differences = [*differing_runs(before, folder / "after"), *differing_verdicts(base, before)]
            differences += forgotten(before)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", base], cwd=HERE, check=True)
    print("\n".join(differences) or f"{len(RUNS) + len(STARTS)} runs and {len(SWEEPS)} sweeps: nothing differs")
    return 1 if differences else 0


def make(checkout: Path, out: Path, sweeps: bool = True) -> None:
    """Trains everything with the code of `checkout` into `out`."""
    for name, words in {**RUNS, **STARTS}.items():
        lab(checkout, f"train {SHORT} {words.format(out=out)} name={name} out={out}")
    for name, words in SWEEPS.items() if sweeps else ():
        lab(checkout, f"train {words} name={name} out={out}")


def lab(checkout: Path, words: str) -> str:
    """Runs `lab WORDS` (shell quoting) with the code of `checkout`; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lab", *shlex.split(words)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"lab {words}\nended with {done.returncode} in {checkout}:\n{done.stdout}{done.stderr}")
    return done.stdout


def differing_runs(before: Path, after: Path) -> list[str]:
    """A line for each single run that is not the same to the bit."""
    found = []
    for name in {**RUNS, **STARTS}:
        one, other = run_folder(before / name), run_folder(after / name)
        if name not in STARTS and one.relative_to(before) != other.relative_to(after):
            found.append(f"{name}: {one.relative_to(before)} is now {other.relative_to(after)}")
        if metrics(one) != metrics(other):
            found.append(f"{name}: metrics.jsonl differs")
        apart = ("arm", "arm_id") if name in STARTS else ()  # which hold the folder that they start from
        if any(value != outcome(other)[key] for key, value in outcome(one).items() if key not in apart):
            found.append(f"{name}: result.json differs")
    return found


def run_folder(root: Path) -> Path:
    (folder,) = root.glob("*/seed=*")
    return folder


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The logged points, but for their seconds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def outcome(folder: Path) -> dict[str, Any]:
    """What a result says that does not hang on the clock, the place or the version."""
    result = json.loads((folder / "result.json").read_text())
    keys = ("status", "metrics", "steps", "stopped_by", "num_params", "arm", "arm_id", "seed", "diverged_at")
    return {key: result.get(key) for key in keys}


def differing_verdicts(base: Path, before: Path) -> list[str]:
    """A line for each sweep of `before` that this checkout judges otherwise than `base`."""
    found = []
    for name in SWEEPS:
        judged = []
        for checkout in (base, HERE):
            lab(checkout, f"compare {before / name}")
            judged.append([(before / name / file).read_text() for file in ("verdict.json", "table.csv")])
        for file, one, other in zip(("verdict.json", "table.csv"), *judged, strict=True):
            found += [f"{name}: {file} differs"] if settled(one) != settled(other) else []
    return found


def settled(text: str) -> Sequence[str]:
    """A file without its sentences, and without the list of interim analyses, which grows with each comparison."""
    if text.startswith("{"):
        data = json.loads(text)
        data.pop("looks", None)
        for claim in data["claims"]:
            claim.pop("explain")
        return [json.dumps(data, sort_keys=True)]
    return text.splitlines()


def forgotten(before: Path) -> list[str]:
    """A line for each command that would train again what is finished."""
    found = []
    for name, words in SWEEPS.items():
        if ", 0 to do" not in lab(HERE, f"train {words} name={name} out={before}"):
            found.append(f"{name}: finished runs are not recognised")
    for name, words in RUNS.items():
        if "already" not in lab(HERE, f"train {SHORT} {words} name={name} out={before}"):
            found.append(f"{name}: the finished run is not recognised")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
