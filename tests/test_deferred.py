"""The stand-in for `torch._dynamo`: eager training does without the module, and compiling gets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.system.deferred import TESTED, StandIn, is_tested

TRAIN = """
import sys
import lab.runs.preload
import torch
from lab.config import RunConfig
from lab.runs.build import assemble
from lab.training.optimizers import OPTIMIZERS

for name in OPTIMIZERS:
    config = RunConfig()
    config.optimizer.name, config.data.limit, config.model.norm = name, 100, "batch"
    train_step = assemble(config).training.train_step
    for step in range(2):
        train_step(step)
    train_step.optimizer.load_state_dict(train_step.optimizer.state_dict())
assert not [name for name in sys.modules if name.startswith("torch._dynamo.")]
"""

COMPILE = """
calls = []

def backend(graph, inputs):
    calls.append(graph)
    return graph.forward

double = torch.compile(lambda x: 2 * x + 1, backend=backend)
assert double(torch.ones(3)).tolist() == [3.0] * 3 and len(calls) == 1
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
train_step(2)
"""

SUBMODULE = """
import torch._dynamo.utils
assert torch._dynamo is sys.modules["torch._dynamo"]
assert torch._dynamo.utils.is_compile_supported("cpu") in (True, False)
train_step(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("then", ["", COMPILE, SUBMODULE], ids=["", "compile", "submodule"])
def test_training_leaves_dynamo_alone_until_something_is_compiled(then: str):
    done = subprocess.run([sys.executable, "-c", TRAIN + then], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


VERBS = """
import sys
from lab.cli.main import main

tiny = ["data.name=own_parts:tiny", "model.depth=2", "model.widths=[4]", "train.threads=1"]
assert main(["plan", *tiny, "model.act=relu,tanh"]) == 0
assert main(["lint", *tiny, "model.act=relu,tanh"]) in (0, 1)
assert main(["probe", *tiny]) == 0
assert main(["lr-range", *tiny, "--steps", "10"]) == 0
assert not [name for name in sys.modules if name.startswith("torch._dynamo.")]
"""


@pytest.mark.slow
def test_no_verb_waits_for_it(tmp_path: Path) -> None:
    """Each makes an optimizer, if only to look at it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", VERBS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


UNTESTED = """
import sys
import torch
torch.__version__ = {version!r}
import lab.runs.preload
from lab.system.deferred import StandIn
assert not isinstance(sys.modules.get("torch._dynamo"), StandIn)
weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([weight], lr=0.1)
weight.sum().backward()
optimizer.step()
assert sys.modules["torch._dynamo"].__file__
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.15.0"])
def test_nothing_is_deferred_for_a_torch_that_was_not_tested(version: str):
    code = UNTESTED.format(version=version)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_versions_are_told_apart():
    assert all(is_tested(f"{minor}.1+cpu") for minor in TESTED)
    assert not any(is_tested(version) for version in ("2.10.1", "2.15.0", "3.0.0a0+git", "2.110.0", "2"))


def test_the_stand_in_does_what_the_module_does_in_eager_code():
    """Where nothing is compiled, both names do nothing in torch's own module, too."""
    import torch._dynamo

    def double(x: float) -> float:
        return 2 * x

    for module in (torch._dynamo, StandIn("torch._dynamo")):
        assert module.graph_break() is None
        assert module.disable(double)(3) == module.disable(double, True, wrapping=False)(3) == 6
        assert module.disable(recursive=False)(double)(3) == 6
    with pytest.raises(AttributeError, match="no __file__"):
        _ = StandIn("torch._dynamo").__file__
