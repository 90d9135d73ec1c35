"""What a part is: the signature that activations, norms, pools, drops and heads share.

A part is a function of the shape of one example that reaches the layer, (c, h, w) or (n,), so that a user's own part,
`package.module:attribute`, has the same signature: `def part(shape) -> nn.Module`. The first line of its docstring is
its catalogue entry (`lab list`).
"""

from collections.abc import Callable

from torch import nn

Shape = tuple[int, ...]
Part = Callable[[Shape], nn.Module]
