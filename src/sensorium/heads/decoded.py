"""What the heads decoded of records, as a table."""

from collections.abc import Sequence
from typing import Any

import pandas as pd


def to_frame(keys: Sequence[str], predicted: Sequence[dict[str, Any]], index: Any = None) -> pd.DataFrame:
    """A row a record: `key`; of each target its decision, named as the target, and `<target>_probability_<label>` or
    what else the head decodes; `absent`. index: what the rows are called, [N]; from 0 without it."""
    rows = [{"key": key} | _flatten(record) for key, record in zip(keys, predicted, strict=True)]
    return pd.DataFrame(rows, index=index)


def _flatten(record: dict[str, Any]) -> dict[str, Any]:
    """The cells of a predicted record: {target: {"decision", ...}, ..., "absent": [...]}."""
    cells: dict[str, Any] = {}
    for name, decoded in record.items():
        fields = decoded if isinstance(decoded, dict) else {"decision": decoded}
        for field, value in fields.items():
            if field == "probabilities":
                cells |= {f"{name}_probability_{label}": probability for label, probability in value.items()}
            else:
                cells[name if field == "decision" else f"{name}_{field}"] = value
    return cells
