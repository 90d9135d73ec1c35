"""Arithmetic of the forward pass by name, the scaling of the loss that fp16 needs, and the memory format."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from lab.errors import UserError, choose

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast computes in; None: nothing is cast."""


class LossScaling:
    """Dynamic loss scaling (Micikevicius et al. 2018; torch's GradScaler), with a count of the steps it left out.

    fp16 holds no gradient below 6e-8: the loss is multiplied by a scale, starting at 65,536, and the gradients are
    divided by it before they are clipped and used. A step whose gradients are not finite is left out and halves the
    scale; 2,000 good ones in a row double it.
    """

    def __init__(self, device: torch.device):
        self.scaler = torch.amp.GradScaler(device.type)
        self.counts = torch.zeros(2, device=device)
        """Steps since the last logged point, and those of them that were left out."""

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to go backward from."""
        return self.scaler.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Divides the gradients of `optimizer` by the scale."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """A step of `optimizer` after `unscale`, unless a gradient is not finite; then adapts the scale.

        Nothing waits for the device if the optimizer is a fused one, which checks the gradients itself.
        """
        # GradScaler tells nobody in public whether it skips without waiting for the device.
        found = self.scaler._found_inf_per_device(optimizer).values()
        with torch.no_grad():
            skipped = torch.stack([one.to(self.counts.device).view(()) for one in found]).amax()
            self.counts += torch.stack([torch.ones_like(skipped), skipped])
        self.scaler.step(optimizer)
        self.scaler.update()

    def take_skipped(self) -> float:
        """The share of steps left out since the last call; this waits for the device."""
        steps, skipped = self.counts.tolist()
        self.counts.zero_()
        return skipped / steps

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"scaler": self.scaler.state_dict(), "counts": self.counts}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        self.scaler.load_state_dict(state["scaler"])
        self.counts.copy_(state["counts"])


def make_precision(name: str, device: torch.device) -> tuple[torch.dtype | None, LossScaling | None]:
    """What autocast computes in, and the scaling of the loss; None where there is none.

    Raises:
        UserError: an unknown name, or fp16 without a GPU.
    """
    dtype = choose("train.precision", name, PRECISIONS)
    if dtype is not torch.float16:
        return dtype, None
    if device.type != "cuda":
        raise UserError(
            f"train.precision=fp16 needs a GPU (CUDA), not {device.type}, where it takes many times as long as fp32; "
            f"allowed here: fp32, bf16"
        )
    return dtype, LossScaling(device)


def choose_format(
    channels_last: bool | None, device: torch.device, autocast: torch.dtype | None, appends: bool = False
) -> torch.memory_format:
    """The memory format of images and filters, by `train.channels_last`, or by what is faster where that is unset.

    On a CPU most nets take 0.65 to 0.95 times as long with the channels last, but not those whose blocks append
    channels (`benchmarks/formats.py`); on a GPU tensor cores want them so, and fp32 does not.

    Args:
        channels_last: what the user asks for.
        device: where the net trains.
        autocast: what its forward pass computes in; None for fp32.
        appends: whether its blocks append channels to their input.
    """
    faster = not appends and (device.type == "cpu" or (device.type == "cuda" and autocast is not None))
    return torch.channels_last if (faster if channels_last is None else channels_last) else torch.contiguous_format


def guard_group_norms(model: nn.Module) -> None:
    """Has every group norm of `model` take images that need no gradient with their channels first.

    torch's backward of GroupNorm ends the process where such an input has its channels last: an image, or what a frozen
    layer gives.
    """
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_channels_first)


def _channels_first(norm: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    trains = torch.is_grad_enabled() and not any(x.requires_grad for x in inputs)
    return tuple(x.contiguous() for x in inputs) if trains else None


class RefusesFatalNorms(TorchFunctionMode):
    """Raises `RuntimeError` where code within calls a group norm that would end the process: of a user's own, which no
    guard reaches."""

    NORMS = (nn.functional.group_norm, torch.group_norm, torch.native_group_norm)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.NORMS:
            x: Tensor = args[0] if args else kwargs["input"]
            if not x.requires_grad and x.ndim == 4 and not x.is_contiguous():
                raise RuntimeError("a group norm of images with their channels last")
        return func(*args, **(kwargs or {}))
