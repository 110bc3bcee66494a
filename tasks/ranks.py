"""Processes that train one model together, as ``torchrun`` starts them: each has an equal share of every batch.

All draw the whole batch from the generator of its step and keep their rows of it, so that its numbers, and up to the
order of sums the training, do not depend on how many they are; dropout alone, which each draws for its own rows, does.
The first one leads: it alone writes anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.diffusion import Draw
from models.training import Batch
from tasks.errors import ConfigError, MissingResourceError
from tasks.seeds import derived_seed


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        count: how many there are; 1 talks to nobody.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what all have computed."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch.

        Raises:
            ConfigError: they cannot be dealt out evenly.
        """
        images, rest = divmod(len(batch.labels), self.count)
        if rest:
            remedy = "change training.batch or the number of processes"
            raise ConfigError("WORLD_SIZE", f"is {self.count}", f"a divisor of {len(batch.labels)} images", remedy)
        rows = slice(self.rank * images, (self.rank + 1) * images)
        seed = derived_seed(batch.seed, "share", self.rank) if self.rank else batch.seed
        draw = Draw(batch.draw.level[rows], batch.draw.eps[rows])
        shared = batch.x0[rows], batch.labels[rows], batch.keep[rows], draw, seed, batch.image_seeds[rows]
        return Batch(*shared)

    def average(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """See :class:`models.training.Peers`; everything travels in one message."""
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        message = torch.cat([loss.float().view(1), *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(message)
        sizes = [1, *(gradient.numel() for gradient in gradients)]
        parts: tuple[Tensor, ...] = torch.split(message.div_(self.count), sizes)
        for gradient, part in zip(gradients, parts[1:], strict=True):
            gradient.copy_(part.view_as(gradient))
        return parts[0].view(())

    def meet(self, identity: str, device: torch.device) -> None:
        """Wait until all processes are here, and be sure that they were asked for the same training.

        Args:
            identity: of the training that this process was asked for, in hexadecimal digits.
            device: on which it trains.

        Raises:
            ConfigError: another process was asked for another training, or would do it by other code.
        """
        if not self._alike(int(identity[:15], 16), device):
            what, expected = "lead to different trainings in different processes", "one project, the same everywhere"
            remedy = "start all processes on the same files, with the same libraries"
            raise ConfigError("params.yaml", f"parameters or code {what}", expected, remedy)

    def largest(self, number: int, device: torch.device) -> int:
        """The largest of the numbers that the processes have, told by way of a device."""
        if self.count == 1:
            return number
        found = torch.tensor(number, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found.item())

    def agree(self, model: nn.Module, step: int) -> None:
        """Give every process the leader's model.

        Args:
            model: changed in place, on the device where it is trained.
            step: from which this process would go on.

        Raises:
            MissingResourceError: another process would go on from another step.
        """
        if self.count == 1:
            return
        tensors = list(model.state_dict().values())
        device = tensors[0].device
        if not self._alike(step, device):
            what, expected = "holds other checkpoints for some of the processes", "one folder that all of them see"
            raise MissingResourceError(".work", what, expected, "share it between the machines")
        for tensor in tensors:
            dist.broadcast(tensor, 0)

    def _alike(self, number: int, device: torch.device) -> bool:
        """Whether all processes have the same number, which is below 2^63."""
        return self.largest(number, device) == -self.largest(-number, device)


def rank_of_environment() -> Ranks:
    """What ``torchrun`` says in ``RANK`` and ``WORLD_SIZE``; one process alone without it."""
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Be in touch with the processes of ``torchrun``, if there are others, inside the block.

    Args:
        device: on which all of them train; a GPU stands for that of this process's number on its machine.
    """
    ranks = rank_of_environment()
    if ranks.count == 1:
        yield ranks
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
