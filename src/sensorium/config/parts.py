"""Parts by their names, and their settings as the parts check them."""

from typing import Any

from pydantic import BaseModel, ValidationError

from sensorium.config.schema import describe_validation_error
from sensorium.errors import UserError, unknown


def lookup(known: dict[str, type], what: str, name: str) -> type:
    """The one of `known` that is called `name`. Raises UserError for a name that none has."""
    if name not in known:
        raise unknown(what, name, known)
    return known[name]


def parse_config(kind: type, settings: dict[str, Any], where: str) -> BaseModel:
    """The configuration of a part, of its `settings`; `where` says whose. Raises UserError for what does not fit."""
    try:
        return kind.Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            setting = ".".join(str(part) for part in first["loc"])
            raise UserError(f"In {where}: {unknown('setting', setting, kind.Config.model_fields)}") from error
        raise UserError(f"In {where}, {describe_validation_error(first)}.") from error
