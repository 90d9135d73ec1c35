"""A verb's parser, and the arguments that several verbs share."""

import argparse
from typing import NoReturn

from lab.errors import UserError, nearest


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`, as all that a user gets wrong."""

    def error(self, message: str) -> NoReturn:
        """Raises `UserError`, with the nearest flag for an unknown one."""
        words = message.removeprefix("unrecognized arguments: ")
        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        if words != message:
            begin = words.split("=")[0].split(" ")[0]
            near = nearest(begin, flags) if begin.startswith("-") else ""
            message = f"{words[:200]}: unknown{near}; flags: {', '.join(flags)}"
        raise UserError(f"{self.prog.removeprefix('lab ')}: {message}; {self.prog} --help explains them")


def parser_of(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    """The parser of `lab VERB` without its arguments."""
    return Parser(
        prog=f"lab {verb}",
        description=description,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def take_overrides(parser: argparse.ArgumentParser, about: str) -> None:
    """What all verbs have that take overrides."""
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help=about)
    take_own_files(parser)
    parser.add_argument("--config-name", "-cn", metavar="NAME", default="config", help="the primary file (config)")
    parser.add_argument(
        "--no-own-parts", dest="own_parts", action="store_false", help="refuse values that name code, module:attribute"
    )


def take_own_files(parser: argparse.ArgumentParser) -> None:
    """The folder of a user's own configurations."""
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="your own files, DIR/experiment/NAME.yaml")


def take_many_runs(parser: argparse.ArgumentParser) -> None:
    """What all verbs have that may sweep."""
    parser.add_argument("--multirun", "-m", action="store_true", help="a sweep, also without a comma")
    parser.add_argument("--yes", "-y", action="store_true", help="start however many runs it is")
