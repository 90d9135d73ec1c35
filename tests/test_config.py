"""Every knob is documented, names are looked up with help, and a configuration has one identity."""

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import lab.config
from lab.config import OnConfig, RunConfig
from lab.errors import UserError, choose, nearest
from lab.identity import arm_hash, derive_seed, flatten, with_values

FIELDS = [
    pytest.param(node, line, after, id=f"{node.name}.{line.target.id}")
    for node in ast.parse(inspect.getsource(lab.config)).body
    if isinstance(node, ast.ClassDef)
    for line, after in zip(node.body, [*node.body[1:], None], strict=True)
    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
]


@pytest.mark.parametrize(("owner", "line", "after"), FIELDS)
def test_every_field_has_its_meaning_under_it(owner: ast.ClassDef, line: ast.AnnAssign, after: ast.stmt | None) -> None:
    assert isinstance(after, ast.Expr), f"nothing under line {line.lineno} of lab/config.py"
    assert isinstance(after.value, ast.Constant)
    assert len(str(after.value.value)) > 20


def test_the_fields_are_all_there() -> None:
    assert len(FIELDS) > len(flatten(RunConfig()))


# Identity

BOOKKEEPING = {"arm", "seed", "name", "out", "force", "jobs", "data.root"} | {
    *(
        f"train.{key}"
        for key in ("checkpoint_every", "threads", "watch", "watch_steps", "watch_smoothness", "pictures", "keep_best")
    ),
    "lint.sweeps",
    "lint.ignore",
    *(f"on.{one.name}" for one in fields(OnConfig)),
}


def with_value(key: str, value: object) -> RunConfig:
    return with_values(RunConfig(), {key: value})


def another(value: object) -> object:
    """A value of the same kind that is not `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}_other"
    return [*value, 3] if isinstance(value, list) else 7


def test_an_arm_is_all_that_changes_the_numbers() -> None:
    hashes = {key: arm_hash(with_value(key, another(value))) for key, value in flatten(RunConfig()).items()}
    same = {key for key, digits in hashes.items() if digits == arm_hash(RunConfig())}
    assert same == BOOKKEEPING
    assert len(set(hashes.values())) == len(hashes) - len(BOOKKEEPING) + 1


def test_an_arm_is_eight_digits_and_does_not_change() -> None:
    assert arm_hash(RunConfig()) == "44136fa3"  # runs that lie on people's disks are found by it
    assert arm_hash(with_value("model.depth", 30)) == arm_hash(with_value("model.depth", 30))


def test_the_study_is_no_part_of_the_arm() -> None:
    config = RunConfig()
    config.study.claims = [{"say": "something"}]
    assert arm_hash(config) == arm_hash(RunConfig())


@pytest.mark.parametrize(("name", "differ"), [("mnist", False), ("folder", True), ("own_parts:tiny", True)])
def test_the_root_tells_apart_folders_and_own_data(name: str, differ: bool, tmp_path: Path) -> None:
    one, other = with_value("data.name", name), with_value("data.name", name)
    one.data.root, other.data.root = str(tmp_path / "one"), str(tmp_path / "other")
    assert (arm_hash(one) != arm_hash(other)) == differ


def test_a_root_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = with_value("data.name", "folder"), with_value("data.name", "folder")
    one.data.root, other.data.root = "pictures", str(tmp_path / "pictures")
    assert arm_hash(one) == arm_hash(other)


# Values


def test_values_are_set_on_a_copy() -> None:
    config, values = RunConfig(), [1, 2]
    changed = with_values(config, {"model.widths": values, "seed": 3})
    assert (changed.model.widths, changed.seed, changed.model.depth) == ([1, 2], 3, config.model.depth)
    assert config == RunConfig()
    values.append(3)
    assert changed.model.widths == [1, 2]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.dept", r"^model\.dept is no key of the configuration \(did you mean 'model\.depth'\?\)$"),
        ("modle.depth", "modle.depth is no key"),
        ("model", "model is no key"),
        ("model.depth.more", "model.depth.more is no key"),
    ],
)
def test_a_key_that_does_not_exist_is_named(key: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_values(RunConfig(), {key: 1})


# Seeds


def test_every_purpose_has_a_seed_of_its_own() -> None:
    purposes = [("split",), ("init",), ("dropout",), *[("order", epoch) for epoch in range(100)]]
    seeds = {derive_seed(seed, *purpose) for seed in range(20) for purpose in purposes}
    assert len(seeds) == 20 * len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(3, "order", 7) == derive_seed(3, "order", 7)


# Names

TABLE = {"relu": 1, "gelu": 2, "tanh": 3}


def test_a_name_is_looked_up() -> None:
    assert choose("model.act", "gelu", TABLE) == 2


def test_own_attribute_is_imported() -> None:
    assert choose("model.act", "math:hypot", TABLE)(3, 4) == 5


def test_own_attribute_is_a_function() -> None:
    with pytest.raises(
        UserError, match=r"^model\.act=math:pi is 3\.14159.*, not a function; model\.act is called as \(s"
    ):
        choose("model.act", "math:pi", TABLE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rleu", r"^model\.act=rleu is unknown \(did you mean 'relu'\?\); there are: relu, gelu, tanh$"),
        ("zzz", r"^model\.act=zzz is unknown; there are: relu, gelu, tanh$"),
        ("", r"^model\.act= is unknown; there are: relu, gelu, tanh$"),
        ("no_such_module:act", r"^model\.act=no_such_module:act: cannot import 'no_such_module' \(No module named"),
        ("math:pie", r"^model\.act=math:pie: module 'math' has no 'pie' \(did you mean 'pi'\?\)$"),
        ("math:", r"^model\.act=math:: module 'math' has no ''$"),
        (":pi", r"^model\.act=:pi: cannot import ''"),
        (".math:pi", r"^model\.act=\.math:pi: cannot import '\.math'"),
    ],
)
def test_an_unknown_name_is_explained(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose("model.act", name, TABLE)


@pytest.mark.parametrize(
    ("given", "name"), [("he_norml", "he_normal"), ("xavier", "xavier_normal"), ("he", "he_normal")]
)
def test_the_nearest_name(given: str, name: str) -> None:
    assert nearest(given, ["xavier_normal", "he_normal"]) == f" (did you mean '{name}'?)"


def test_no_name_is_near() -> None:
    assert nearest("banana", ["xavier_normal", "he_normal"]) == ""
