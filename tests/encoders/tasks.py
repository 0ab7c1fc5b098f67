"""A plain training loop for tests of what an encoder can read: the encoder, a linear layer, Adam, a fixed seed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def accuracy(
    encoder: nn.Module,
    train: tuple[list[Any], Tensor],
    test: tuple[list[Any], Tensor],
    epochs: int,
    scramble: Callable[[Any], Any] = lambda value: value,
    rate: float = 3e-3,
) -> tuple[float, float]:
    """Trains on `train`, (decoded values, classes int64 [N]); the share decided rightly of `test`, as it is and with
    every value scrambled."""
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, int(train[1].max()) + 1)
    net = nn.ModuleList([encoder, head])
    steps = epochs * -(-len(train[0]) // 32)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(train[0])).split(32):
            batch = encoder.processor.pad([encoder.processor(train[0][row], augment=True) for row in rows])
            loss = nn.functional.cross_entropy(head(encoder(batch).pooled), train[1][rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    net.eval()
    return score(encoder, head, test), score(encoder, head, ([scramble(value) for value in test[0]], test[1]))


@torch.no_grad()
def score(encoder: nn.Module, head: nn.Module, test: tuple[list[Any], Tensor]) -> float:
    """The share of `test` decided rightly."""
    batch = encoder.processor.pad([encoder.processor(value) for value in test[0]])
    return (head(encoder(batch).pooled).argmax(dim=1) == test[1]).float().mean().item()
