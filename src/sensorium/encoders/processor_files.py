"""The settings of a processor in its folder."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

NAME = "processor.json"


def write_settings(folder: Path, settings: dict[str, Any], augmentation: BaseModel | None) -> None:
    """Writes `settings` and those of the augmentation into processor.json in `folder`, which is made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings | {"augmentation": None if augmentation is None else augmentation.model_dump()}
    (folder / NAME).write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")


def read_settings(folder: Path, augmentation: type[BaseModel]) -> dict[str, Any]:
    """What `write_settings` wrote into `folder`, with the key "augmentation" an instance of that class, or None."""
    settings = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
    if settings["augmentation"] is not None:
        settings["augmentation"] = augmentation(**settings["augmentation"])
    return settings
