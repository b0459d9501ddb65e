"""What changes when several processes share one batch: sums, and batch statistics.

Everything here is the identity in a single process, so that models need not know
whether they are trained under ``torchrun``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def world_size() -> int:
    """Number of processes that share a batch."""
    return dist.get_world_size() if _active() else 1


def rank() -> int:
    """This process's number; 0 writes the files."""
    return dist.get_rank() if _active() else 0


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if _active():
        dist.barrier()


def _active() -> bool:
    return dist.is_available() and dist.is_initialized()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def global_sum(value: Tensor) -> Tensor:
    """The sum of ``value`` over all processes; gradients reach every process."""
    if world_size() == 1:
        return value
    return _Sum.apply(value)  # type: ignore[no-any-return]


def global_rows(value: Tensor) -> tuple[Tensor, int]:
    """The rows of ``value`` (B, D) on all processes, and where this one's begin.

    Gradients reach every process. Without gradients there are only the process's own,
    for each validates on every row.
    """
    if world_size() == 1 or not torch.is_grad_enabled():
        return value, 0
    counts = torch.zeros(world_size(), device=value.device)
    counts[rank()] = len(value)
    ends = global_sum(counts).cumsum(0).long().tolist()
    end = ends[rank()]
    first = end - len(value)
    return global_sum(F.pad(value, (0, 0, first, ends[-1] - end))), first


def global_mean(value: Tensor) -> Tensor:
    """The mean of all elements of ``value`` on all processes, a scalar."""
    if world_size() == 1:
        return value.mean()
    count = torch.tensor(float(value.numel()), device=value.device)
    return global_sum(value.sum()) / global_sum(count)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over (B, C) or (B, C, H, W), across all processes.

    PyTorch's own in a single process. ``nn.SyncBatchNorm`` does the same on several,
    but not on CPUs.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"expected (B, C) or (B, C, H, W), got {input.shape}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        axes = [0, *range(2, x.dim())]
        view = [1, -1] + [1] * (x.dim() - 2)
        x32 = x.float()
        sums = torch.cat([x32.sum(axes), x32.new_tensor([x.numel() / x.shape[1]])])
        sums = global_sum(sums)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        var = global_sum((x32 - mean.view(view)).square().sum(axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            unbiased = var * count / (count - 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        # Normalising by fixed statistics is what eval mode does.
        return F.batch_norm(
            (x32 - mean.view(view)) * torch.rsqrt(var.view(view) + self.eps),
            torch.zeros_like(mean),
            torch.ones_like(var),
            self.weight,
            self.bias,
            eps=0.0,
        )
