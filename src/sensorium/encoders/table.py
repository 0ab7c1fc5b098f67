"""Numbers and categories of a record as tokens, one a column, and their summary."""

from collections.abc import Iterable

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.encoders.table_processor import (
    CategoryColumn,
    NumberColumn,
    TableAugmentation,
    TableProcessor,
    describe_columns,
)
from sensorium.errors import UserError
from sensorium.features import Features

BEND = 3.0


class TableConfig(BaseModel, frozen=True, extra="forbid"):
    """A table encoder's columns and shape.

    numbers, categories: statistics of the columns in training; None lets `build` compute them.
    width:        of a token.
    hidden, depth, dropout: of the perceptron that makes the summary: width and number of its hidden layers.
    bins:         the most quantile bins a number is read with; fewer when records are few.
    augmentation: which values training hides; None for none."""

    numbers: list[NumberColumn] | None = None
    categories: list[CategoryColumn] | None = None
    width: int = Field(64, ge=1)
    hidden: int = Field(128, ge=1)
    depth: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    bins: int = Field(16, ge=1)
    augmentation: TableAugmentation | None = TableAugmentation()


class TableEncoder(nn.Module):
    """A token for each column, and before them a summary token: a perceptron over all columns, which on small tables is
    as good as a transformer over them and much cheaper (Gorishniy et al. 2022, arXiv:2203.05556).

    Raises UserError when the config does not name the columns (only `build` finds them)."""

    Config = TableConfig
    Processor = TableProcessor
    modality = "table"
    pretrained = False

    def __init__(self, config: TableConfig, processor: TableProcessor | None = None, summary_only: bool = False):
        super().__init__()
        numbers, categories = config.numbers or [], config.categories or []
        if not numbers and not categories:
            raise UserError(
                "A table encoder needs its columns; build it from training records, or state 'numbers' or 'categories'."
            )
        self.config, self.summary_only = config, summary_only
        self.processor = processor or TableProcessor(numbers, categories, config.augmentation)
        self.dim = config.width
        self.numbers = NumberTokens(numbers, config.width) if numbers else None
        self.categories = CategoryTokens(categories, config.width) if categories else None
        layers: list[nn.Module] = []
        size = (len(numbers) + len(categories)) * config.width
        for _ in range(config.depth):
            layers += [nn.Linear(size, config.hidden), nn.GELU(), nn.Dropout(config.dropout)]
            size = config.hidden
        self.summary = nn.Sequential(*layers, nn.Linear(size, config.width))

    @classmethod
    def build(
        cls,
        config: TableConfig,
        values: Iterable[dict[str, float | str | None]],
        facts: dict[str, float],
        summary_only: bool = False,
    ) -> "TableEncoder":
        """An encoder for training: columns that the config does not state come from the records `values`. Raises
        UserError when a column holds numbers and texts, or when no column has a value."""
        if config.numbers is None and config.categories is None:
            numbers, categories = describe_columns(values, config.bins)
            config = config.model_copy(update={"numbers": numbers, "categories": categories})
        return cls(config, summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`number` float [B, N], `category` int64 [B, C], `mask` bool [B, N + C] → Features of T = 1 + N + C tokens,
        the summary first (and alone when summary_only)."""
        mask = inputs["mask"]
        present = mask.any(dim=1)
        tokens = []
        if self.numbers is not None:
            tokens.append(self.numbers(inputs["number"]))
        if self.categories is not None:
            tokens.append(self.categories(inputs["category"]))
        columns = torch.where(mask[:, :, None], torch.cat(tokens, dim=1), 0.0)  # [B, N + C, D]
        summary = self.summary(columns.flatten(1)).float()  # [B, D]
        first = Features.one(summary, present)
        if self.summary_only:
            return first
        tokens = torch.cat([first.tokens, columns.float()], dim=1)
        return Features(tokens, torch.cat([first.mask, mask], dim=1), first.pooled)


class NumberTokens(nn.Module):
    """A number as a learned piecewise-linear function over quantile bins (Gorishniy et al. 2022, arXiv:2203.05556), so
    that a threshold is learned as easily as a slope, and of its softly bounded value (Holzmüller et al. 2024,
    arXiv:2407.04491), so that an outlier neither explodes nor is lost. Each column has its own weights."""

    def __init__(self, columns: list[NumberColumn], width: int):
        super().__init__()
        bins = max(1, *(len(column.edges) - 1 for column in columns))
        lower = torch.zeros(len(columns), bins)  # [N, bins]
        span = torch.full((len(columns), bins), torch.inf)  # a bin that a column lacks is infinitely wide: always 0
        for row, column in enumerate(columns):
            edges = torch.tensor(column.edges, dtype=torch.float64)
            lower[row, : len(edges[1:])] = edges[:-1]
            span[row, : len(edges[1:])] = edges.diff()
        self.register_buffer("lower", lower, persistent=False)
        self.register_buffer("span", span, persistent=False)
        bound = (bins + 1) ** -0.5
        self.weight = nn.Parameter(torch.empty(len(columns), bins + 1, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(len(columns), width).uniform_(-bound, bound))

    def forward(self, number: Tensor) -> Tensor:
        """Standardised numbers float [B, N] → tokens float [B, N, D]."""
        number = number.float()[:, :, None]  # [B, N, 1]
        bin_shares = ((number - self.lower) / self.span).clamp(0, 1)  # [B, N, bins]
        bounded = number / (1 + (number / BEND).square()).sqrt()
        features = torch.cat([bounded, bin_shares], dim=2)  # [B, N, bins + 1]
        return torch.einsum("bni,nid->bnd", features, self.weight) + self.bias


class CategoryTokens(nn.Module):
    """A vector for each value of each column, and one for a value that training did not have."""

    def __init__(self, columns: list[CategoryColumn], width: int):
        super().__init__()
        sizes = torch.tensor([len(column.values) + 1 for column in columns])
        self.register_buffer("first", sizes.cumsum(0) - sizes, persistent=False)
        self.embedding = nn.Embedding(int(sizes.sum()), width)
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, category: Tensor) -> Tensor:
        """Numbers of values int64 [B, C], 0 for any other value → tokens float [B, C, D]."""
        return self.embedding(category + self.first)
