"""Blocks of rows that travel round a ring of processes; each process holds its own block and one visiting block."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist

Visit = Callable[[int, list[Tensor], list[Tensor]], None]


class Ring:
    """The processes of `group` in a circle, or this process alone when it is None. Processes may bring different
    numbers of rows, and none at all; all of them have to make the same calls in the same order. Works with gloo on the
    CPU and with NCCL on CUDA."""

    def __init__(self, group: dist.ProcessGroup | None, rows: int, device: torch.device):
        self._group = group
        self.rank = 0 if group is None else dist.get_rank(group)
        self.size = 1 if group is None else dist.get_world_size(group)
        self.rows = [rows]
        if self.size > 1:
            self.rows = [int(count) for count in self._gather(torch.tensor([rows], device=device))]
        self.starts = [sum(self.rows[:rank]) for rank in range(self.size)]

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of every process, in order: [own rows, ...] → [all rows, ...]. For what is small."""
        if self.size == 1:
            return tensor
        padded = tensor.new_zeros((max(self.rows), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
        blocks = self._gather(padded).chunk(self.size)
        return torch.cat([block[:rows] for block, rows in zip(blocks, self.rows, strict=True)])

    def gather_one(self, value: Tensor) -> Tensor:
        """One value of each process: [] → [processes]."""
        return value[None] if self.size == 1 else self._gather(value[None])

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the processes of a tensor that has one shape in all of them."""
        if self.size == 1:
            return tensor
        summed = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=self._group)
        return summed

    def _gather(self, tensor: Tensor) -> Tensor:
        blocks = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(blocks, tensor.contiguous(), group=self._group)
        return torch.cat(blocks)

    def travel(self, fixed: list[Tensor], carried: list[Tensor], visit: Visit) -> list[Tensor]:
        """Takes this process's block once round the ring and gives what it `carried` when it is home again.

        fixed: tensors [own rows, ...] that no stop changes; they are on their way to the next one while it works.
        carried: tensors [own rows, ...] that each stop adds to.
        visit: called at each stop as visit(owner, fixed, carried) with the block of process `owner`; changes `carried`
        in place."""
        owner = self.rank
        for stop in range(self.size):
            next_owner = (owner - 1) % self.size
            last = stop == self.size - 1
            in_transit = None if last else self._pass(fixed, self.rows[next_owner], first_tag=0)
            visit(owner, fixed, carried)
            if self.size > 1:
                carried = self._arrived(*self._pass(carried, self.rows[next_owner], first_tag=len(fixed)))
            if in_transit is not None:
                fixed = self._arrived(*in_transit)
            owner = next_owner
        return carried

    def _pass(self, tensors: list[Tensor], rows: int, first_tag: int) -> tuple[list[dist.Work], list[Tensor]]:
        """Starts sending `tensors` to the next process and receiving the like, of `rows` rows, from the one before."""
        after, before = ((self.rank + way) % self.size for way in (1, -1))
        incoming = [tensor.new_empty((rows, *tensor.shape[1:])) for tensor in tensors]
        operations = []
        for tag, (sent, received) in enumerate(zip(tensors, incoming, strict=True), first_tag):
            # An empty message is none at all: both ends know the numbers of rows.
            if sent.numel():
                operations.append(self._step(dist.isend, sent.contiguous(), after, tag))
            if received.numel():
                operations.append(self._step(dist.irecv, received, before, tag))
        return (dist.batch_isend_irecv(operations) if operations else []), incoming

    def _step(self, way: Callable, tensor: Tensor, rank: int, tag: int) -> dist.P2POp:
        return dist.P2POp(way, tensor, dist.get_global_rank(self._group, rank), self._group, tag)

    @staticmethod
    def _arrived(works: list[dist.Work], incoming: list[Tensor]) -> list[Tensor]:
        for work in works:
            work.wait()
        return incoming
