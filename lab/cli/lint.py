"""`lab lint`: what is wrong with one net, or with a comparison, before it trains; of the lab or of anybody."""

import argparse
import shlex
from collections.abc import Iterable, Sequence

from lab.errors import UserError, nearest
from lab.overrides.plan import Options, all_jobs, one_job
from lab.tables import read_rules


def lint(args: argparse.Namespace, options: Options) -> int:
    """Prints what is found; 1 where there are errors.

    Raises:
        UserError: a flag or an override is wrong.
    """
    from lab.checks.lint.configured import worst
    from lab.checks.lint.linter import RULES
    from lab.checks.lint.render import AS, FORMATS, explained
    from lab.checks.lint.repairs import repairs
    from lab.checks.precheck import SWEEP_RULES
    from lab.launch.linted import count_arms, lint_jobs

    codes = read_rules()
    if args.explain:
        print(explained((RULES | SWEEP_RULES)[known(args.explain, "--explain", codes)]), end="")
        return 0
    if args.format not in FORMATS:
        raise UserError(
            f"--format={args.format} is unknown{nearest(args.format, FORMATS)}; there are: {', '.join(FORMATS)}"
        )
    kept = [known(code, "--select", codes) for code in args.select] or list(codes)
    left_out = {known(code, "--ignore", codes) for code in args.ignore}
    kept = [code for code in kept if code not in left_out]
    rules = [RULES[code] for code in RULES if code in kept]
    if args.module:
        if args.overrides or args.fix:
            raise UserError("--module names a net of your own; overrides and --fix are for configurations of the lab")
        said = lint_module(args, rules)
    else:
        batches = all_jobs("lint", args.overrides, options)
        if args.fix and (num_arms := count_arms(batches)) > 1:
            raise UserError(f"--fix repairs one net, and this is a sweep of {num_arms} arms; give one value a key")
        said = lint_jobs(batches, kept)
        if args.fix:
            return fix(args.overrides, options, repairs(said, batches[0][0].config), rules)
    print(AS[args.format](said))
    return int(worst(said) == "error")


def known(code: str, flag: str, codes: Iterable[str]) -> str:
    """`code`, if there is such a rule."""
    if code not in codes:
        raise UserError(f"{flag} {code}: no such rule{nearest(code, codes)}; they are listed by: lab list rules")
    return code


def fix(overrides: Sequence[str], options: Options, repaired: Sequence[str], rules: Sequence) -> int:
    """Prints the overrides with their repairs; 1 where errors are left."""
    from lab.checks.lint.configured import lint_config, worst
    from lab.checks.lint.render import as_text

    keys = {text.partition("=")[0] for text in repaired}
    words = [*(text for text in overrides if text.partition("=")[0] not in keys), *repaired]
    after = lint_config(one_job("lint", words, options).config, rules)
    print(shlex.join(["lab", "lint", *words]) if repaired else "no repair by the lab's own keys")
    left = [one for one in after if one.severity != "note"]
    print(as_text(left) if left else "clean of errors and warnings")
    return int(worst(after) == "error")


def lint_module(args: argparse.Namespace, rules: Sequence) -> list:
    """What is found in a net of somebody's own, built by `--module`."""
    from lab.checks.lint.anybody import lint_own
    from lab.checks.lint.task import TASKS, Task, loss_of, range_of

    try:
        shape = tuple(int(part) for part in args.shape.split(","))
    except ValueError:
        raise UserError(f"--shape={args.shape or ''} is no shape of one example; give it as 3,32,32") from None
    if min(shape, default=0) < 1:
        raise UserError(f"--shape={args.shape}: each size has to be 1 or more, as in 3,32,32")
    if args.task not in TASKS:
        raise UserError(f"--task={args.task} is unknown{nearest(args.task, TASKS)}; there are: {', '.join(TASKS)}")
    loss, takes = loss_of(args.loss) if args.loss else ("", "")
    task = Task(
        kind=args.task,
        num_outputs=args.outputs,
        loss=loss,
        takes=takes,
        optimizer=args.optimizer,
        lr=args.lr,
        momentum=args.momentum,
        batch_size=args.batch_size,
        updates=args.updates,
        inputs=range_of(args.input),
        targets=range_of(args.targets),
        decay=args.weight_decay,
        decays_all=True,
    )
    return lint_own(args.module, shape, task, rules)
