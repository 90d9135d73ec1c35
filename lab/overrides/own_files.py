"""The user's configuration files: what is wrong in one is told with file and line, before Hydra composes it."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from lab.config import RunConfig
from lab.errors import UserError, nearest
from lab.overrides.files import GROUPS
from lab.overrides.hydra_words import instead
from lab.overrides.typed import read, short_word
from lab.overrides.words import wrong_key
from lab.validation import Key, all_keys

PLAIN = "tag:yaml.org,2002:"
"""How the tags begin that YAML gives by itself: `!!str`, `!!int`, `!!map`, ..."""

KNOWN_TAGS = tuple(PLAIN + kind for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp"))

SWEEPER = {"mode": None, "sweeper": {"params": None}}
"""What a file may set of Hydra: that it is a sweep, and over what."""

Fault = tuple[int, str]
"""A line, from 1, and what is wrong there."""


class OwnFiles(FileConfigSource):
    """A folder of the user's: each file is checked as it is loaded, and its text fields keep what is written."""

    loaded: ClassVar[dict[Path, str]] = {}
    """Text of each file that was loaded, for messages about what goes wrong later."""

    @staticmethod
    def scheme() -> str:
        return "own"

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        place = config_path.strip("/").removesuffix(".yaml")
        group = place.partition("/")[0] if "/" in place else ""
        text = self.loaded[path] = read_text(path)
        try:
            node = yaml.compose(text, yaml.SafeLoader)
            if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
                raise UserError(f"{path}: an empty file; write keys with values, as train: {{epochs: 5}}")
            found = list(faults(node, package(group, text, path), bool(group)))
        except yaml.YAMLError as error:
            raise UserError(f"{path}{_line_of(error)}: {_problem(error)}") from None
        except RecursionError:
            raise UserError(f"{path}: brackets inside brackets without an end") from None
        if found:
            lines = [f"{path}, line {line}: {what}" for line, what in found]
            raise UserError("\n  ".join([f"{len(lines)} things are wrong:", *lines]) if len(lines) > 1 else lines[0])
        result = super().load_config(config_path)
        config = result.config
        if isinstance(config, DictConfig) and True in config:  # what YAML makes of the key `on`
            config["on"] = config.pop(True)
        for place, value in as_written(node, package(group, text, path)):
            OmegaConf.update(result.config, place, value)
        return result


SourcesRegistry.instance().register(OwnFiles)


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        UserError: it is no UTF-8, or holds what is no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        kind = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        raise UserError(f"{path}, line {line}: the file is {kind}; save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise UserError(f"{path}, line 1: the file begins with a byte-order sign; save it as UTF-8 without one")
    if bad := re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f]", text.replace("\r\n", "\n")):
        line = text[: bad.start()].count("\n") + 1
        raise UserError(f"{path}, line {line}: a control character, {bad[0]!a}, which is no text")
    return text


def package(group: str, text: str, path: Path) -> str:
    """The section that the keys of a file belong to; empty for a whole configuration, as an experiment's file.

    Raises:
        UserError: its first line names another package.
    """
    header = re.search(r"^#\s*@package\s*(\S*)", text[:512], re.MULTILINE)
    line = text[: header.start()].count("\n") + 1 if header else 1
    own = group if group in GROUPS and group != "experiment" else ""
    if header and text[: header.start()].strip("\ufeff \r\n"):
        raise UserError(f"{path}, line {line}: the line '# @package {header[1]}' belongs above all other lines")
    given = header[1] if header else ("_group_" if own else "")
    if given == "_global_" or (not group and not header):
        return ""
    if group == "experiment":
        raise UserError(f"{path}, line {line}: an experiment's file begins with the line '# @package _global_'")
    if given in ("_group_", group) and own:
        return own
    raise UserError(f"{path}, line {line}: '# @package {given}'; allowed: '# @package _global_', or none at all")


def faults(node: yaml.Node, section: str, inside: bool) -> Iterator[Fault]:
    """What is wrong in a file, with its lines.

    Args:
        node: all of it.
        section: what its keys belong to, as `model`; empty for a whole configuration.
        inside: whether it lies in a group's folder; else it is a primary configuration.
    """
    if not isinstance(node, yaml.MappingNode):
        yield _line(node), "a list or a single value; write keys with values, as train: {epochs: 5}"
        return
    yield from _tags(node, set())
    for key, value in _pairs(node):
        if not section and key.value == "hydra":
            yield from _settings(value, SWEEPER, "hydra")
        elif key.value == "defaults":
            yield from _defaults(value, inside)
        elif not (not inside and not section and key.value == "run_config"):
            yield from _keys(key, value, section)


def _defaults(node: yaml.Node, inside: bool) -> Iterator[Fault]:
    """The faults of a list of defaults by itself; `inside` a group's folder."""
    if not isinstance(node, yaml.SequenceNode):
        yield _line(node), "defaults: allowed: a list, as [override /model: resnet]"
        return
    for one in node.value:
        pairs = one.value if isinstance(one, yaml.MappingNode) else []
        key, value = pairs[0] if len(pairs) == 1 else (one, None)
        plain = isinstance(key, yaml.ScalarNode) and (value is None or isinstance(value, yaml.ScalarNode))
        if not plain:
            yield _line(one), "defaults: allowed: one file each, as - override /model: resnet"
        elif found := re.fullmatch(r"((override|optional)\s+)*/?(hydra/[^@]*)(@.*)?", key.value):
            yield _line(one), f"defaults: {short_word(found[3])}: {instead(found[3])}"
        elif value is not None and inside and not re.match(r"((override|optional)\s+)*/", key.value):
            words = key.value.split()
            yield _line(one), f"defaults: write {' '.join([*words[:-1], f'/{words[-1]}' if words else '/model'])}: ..."


def _keys(key: yaml.Node, value: yaml.Node, section: str) -> Iterator[Fault]:
    """The faults of one key of a section and of what is in it."""
    name = f"{section}.{key.value}" if section else str(key.value)
    inner = {one.name: one.type for one in fields(RunConfig) if is_dataclass(one.type)}
    if name in inner:
        if isinstance(value, yaml.MappingNode):
            for one, other in _pairs(value):
                yield from _keys(one, other, name)
        elif not _filled_in(value):
            yield _line(value), f"{name}: allowed: keys with values, as {name}: {{{_first(name)}}}"
    elif name in all_keys() and "." not in key.value:
        if fault := wrong_value(all_keys()[name], value):
            yield _line(value), fault
    else:
        there = [one for one in [*all_keys(), *inner] if one.rpartition(".")[0] == section]
        flat = f"; write {name.split('.')[0]}: {{...}}" if name in all_keys() or "." in str(key.value) else ""
        yield (
            _line(key),
            f"{short_word(name)} is no key of the configuration{nearest(name, [*all_keys(), *inner])}{flat}; "
            f"there are: {', '.join(there)}",
        )


def _first(section: str) -> str:
    return next(f"{key.rpartition('.')[2]}: ..." for key in all_keys() if key.startswith(f"{section}."))


def wrong_value(key: Key, node: yaml.Node) -> str:
    """What is wrong with what a file gives `key`; empty if nothing is, or if it is filled in later."""
    if _filled_in(node) or key.kind is Any:
        return ""
    shown = f"{key.name}={short_word(_text(node))}"
    listed = get_origin(key.kind) is list
    if listed != isinstance(node, yaml.SequenceNode) or isinstance(node, yaml.MappingNode):
        return f"{shown} is {'no list' if listed else 'no single value'}"
    kind = get_args(key.kind)[0] if listed else key.kind
    for one in node.value if listed else [node]:
        if kind is Any:
            continue
        if not isinstance(one, yaml.ScalarNode):
            return f"{shown}: {_text(one)} is no single value"
        nothing = key.optional and one.tag == f"{PLAIN}null"
        if kind is str or nothing or _filled_in(one):
            continue
        try:
            read(Key(key.name, None, key.optional, key.knob, kind), one.value)
        except ValueError as error:
            return f"{key.name}={short_word(one.value)} {error}"
    return ""


def as_written(node: yaml.Node, section: str) -> Iterator[tuple[str, Any]]:
    """Place in the file and text of each value of a text field, which YAML may have taken for a number or a date."""
    assert isinstance(node, yaml.MappingNode)
    for key, value in _pairs(node):
        name = f"{section}.{key.value}" if section else key.value
        if isinstance(value, yaml.MappingNode) and not section and key.value != "hydra":
            yield from ((f"{key.value}.{place}", text) for place, text in as_written(value, key.value))
        elif (known := all_keys().get(name)) is not None:
            if known.kind is str and isinstance(value, yaml.ScalarNode):
                yield key.value, value.value
            elif known.kind == list[str] and isinstance(value, yaml.SequenceNode):
                yield key.value, [one.value for one in value.value]


def _settings(node: yaml.Node, allowed: dict[str, Any], name: str) -> Iterator[Fault]:
    """The faults of the section `hydra`, of which little is the user's to set."""
    if not isinstance(node, yaml.MappingNode):
        yield _line(node), f"{name}: allowed: {', '.join(allowed)}"
        return
    for key, value in _pairs(node):
        if key.value not in allowed:
            what = f"{instead(f'{name}.{key.value}')}; of this section a file takes only mode and sweeper.params"
            yield _line(key), f"{name}.{short_word(key.value)}: {what}"
        elif isinstance(allowed[key.value], dict):
            yield from _settings(value, allowed[key.value], f"{name}.{key.value}")
        elif key.value == "params" and not isinstance(value, yaml.MappingNode):
            yield _line(value), f"{name}.params: allowed: keys with what they run through, as seed: range(0,5)"
        elif isinstance(value, yaml.MappingNode) and key.value == "params":
            wrong = (one for one, _ in _pairs(value) if one.value not in all_keys() and one.value not in GROUPS)
            yield from ((_line(one), f"{name}.params: {wrong_key(one.value)}") for one in wrong)
        elif key.value == "mode" and value.value not in ("RUN", "MULTIRUN"):
            yield _line(value), f"{name}.mode={_text(value)}; allowed: RUN, MULTIRUN"


def _tags(node: yaml.Node, seen: set[int]) -> Iterator[Fault]:
    """The faults of tags and of keys that are there twice, or that are no text, everywhere in `node`."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in KNOWN_TAGS:
        yield _line(node), f"the tag {node.tag.replace(PLAIN, '!!')}: a configuration holds plain values alone"
    if isinstance(node, yaml.ScalarNode) and re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f\\ud800-\\udfff]", node.value):
        yield _line(node), f"{short_word(ascii(node.value))} holds a control character, or what is no text"
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _tags(one, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield _line(key), f"{short_word(_text(key))}: a key is a single word"
                continue
            if key.tag == f"{PLAIN}null":
                yield _line(key), f"{key.value or 'nothing'}: YAML takes this key for null; put it in quotes"
            if key.value in first and key.tag != f"{PLAIN}merge":
                yield _line(key), f"{short_word(key.value)} is there twice, first in line {first[key.value]}"
            first.setdefault(key.value, _line(key))
            yield from _tags(key, seen)
            yield from _tags(value, seen)


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys with values of a mapping, those that are merged in by `<<` among them."""
    yaml.SafeLoader("").flatten_mapping(node)
    return ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _filled_in(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and "${" in node.value


def _text(node: yaml.Node) -> str:
    return (
        node.value if isinstance(node, yaml.ScalarNode) else "{...}" if isinstance(node, yaml.MappingNode) else "[...]"
    )


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _line_of(error: yaml.YAMLError) -> str:
    place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f", line {place.line + 1}" if place else ""


def _problem(error: yaml.YAMLError) -> str:
    """What a reader of YAML stumbled over, in our words where it is common."""
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    if "\\t" in said:
        return "a tab; YAML indents with spaces"
    return f"no YAML ({said})"
