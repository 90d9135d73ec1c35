"""The flags of the verbs that take overrides."""

import argparse

from lab.cli.parsers import GONE, PARSERS
from lab.errors import UserError
from lab.overrides.plan import Options
from lab.overrides.typed import short_word


def read_options(verb: str, words: list[str]) -> tuple[argparse.Namespace, Options]:
    """What `words` of a verb that takes overrides say: everything, and the flags that matter here.

    Raises:
        UserError: a flag is none.
    """
    for word in words:
        if word.partition("=")[0] in GONE and word.startswith("-"):
            raise UserError(f"{verb} {short_word(word)}: no flag of the lab; {GONE[word.partition('=')[0]]}")
    args = PARSERS[verb]().parse_intermixed_args(words)
    many = vars(args)
    return args, Options(
        args.config_dir, args.config_name, many.get("multirun", False), args.own_parts, many.get("yes")
    )
