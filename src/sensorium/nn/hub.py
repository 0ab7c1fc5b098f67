"""Models of the Transformers library, from a folder, the cache or the hub, and the parts of them an encoder keeps."""

import re
from contextlib import redirect_stderr
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import get_session
from safetensors import SafetensorError
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from sensorium.errors import UserError, needs
from sensorium.nn.packs import resolve

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
# Settings about the source and about code to run, which are not part of the architecture.
NOT_ARCHITECTURE = {"_name_or_path", "architectures", "auto_map", "custom_pipelines", "dtype", "transformers_version"}
FAILURES = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    AttributeError,
    TypeError,
    SafetensorError,
    StrictDataclassError,
)
PATIENCE = 5.0  # seconds
GGUF = ".gguf"


def load(kind: type, source: str, what: str, **options: Any) -> Any:
    """What `kind` (a Transformers Auto class) loads from `source`: a pack, a folder, the cache, or else the hub.

    what: "text encoder", for instance, for the sentence of the UserError that is raised when there is none. Code that
    comes with a model is never run."""
    source = resolve(source)
    is_gguf = Path(source).suffix == GGUF
    if not is_gguf and not Path(source).is_dir() and not HUB_NAME.fullmatch(source):
        raise UserError(f"There is no folder '{source}' with a {what}; name one that exists, or a model on the hub.")
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it would list each weight that is not read; missing ones are errors of ours
    try:
        if is_gguf:
            return _load_gguf(kind, Path(source), what, options)
        return kind.from_pretrained(source, local_files_only=True, trust_remote_code=False, **options)
    except FAILURES as error:
        if Path(source).is_dir():
            raise unloadable(source, what, error) from error
        return _download(kind, source, what, options)
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _load_gguf(kind: type, path: Path, what: str, options: dict[str, Any]) -> Any:
    """What `kind` loads of one file with weights, configuration and tokenizer; it takes half a minute each time."""
    if not path.is_file():
        raise UserError(f"There is no file {path} with a {what}; name one that exists.")
    if find_spec("gguf") is None:
        raise needs("gguf", "gguf")
    options = {name: value for name, value in options.items() if name != "use_safetensors"}
    try:
        with redirect_stderr(StringIO()):  # a bar that is shown whatever Transformers is told
            return _read_gguf(kind, path, **options) if options else _from_gguf(kind, path)
    except FAILURES as error:
        raise unloadable(str(path), what, error) from error


@lru_cache(maxsize=4)
def _from_gguf(kind: type, path: Path) -> Any:
    """A configuration or a tokenizer, read once: it takes ten seconds."""
    return _read_gguf(kind, path)


def _read_gguf(kind: type, path: Path, **options: Any) -> Any:
    return kind.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False, **options
    )


def load_weights(source: str, what: str, **options: Any) -> PreTrainedModel:
    """The whole model of `source` in float32, from safetensors. Raises UserError when a weight of it is missing."""
    return load_with(AutoModel, source, what, "pooler", **options)[0]


def load_with(kind: type, source: str, what: str, drawn: str, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """The model of `source` as `kind` (a Transformers Auto class) has it, in float32, from safetensors; and which of
    its weights are missing there and were drawn at random: only such with `drawn` in their names may be. Raises
    UserError when another weight is missing."""
    options |= {"use_safetensors": True, "output_loading_info": True, "dtype": torch.float32}
    model, report = load(kind, source, what, **options)
    absent = sorted(key for key in report["missing_keys"] if drawn not in key)
    if absent:
        count, first = len(absent), absent[0]
        raise UserError(f"The model '{source}' lacks {count} weights, '{first}' first; choose a complete one.")
    return model, sorted(report["missing_keys"])


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The part of `model` whose output we read: not its decoder, not its pooler; it keeps nothing for generation."""
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    encoder.config.use_cache = False
    return encoder


def architecture_of(config: Any) -> dict[str, Any]:
    """A Transformers configuration as what rebuilds the model, without where it came from."""
    return {key: value for key, value in config.to_dict().items() if key not in NOT_ARCHITECTURE}


def _download(kind: type, source: str, what: str, options: dict[str, Any]) -> Any:
    if not constants.HF_HUB_OFFLINE:
        knock(source, what)
    try:
        return kind.from_pretrained(source, trust_remote_code=False, **options)
    except FAILURES as error:
        raise unloadable(source, what, error) from error


def knock(source: str, what: str) -> None:
    """Checks that the hub answers, as its own client would retry for half a minute. Raises UserError if not."""
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # the hub's client raises its transport's errors, which differ by version
        raise unloadable(source, what, ConnectionError(f"{constants.ENDPOINT} does not answer")) from error


def unloadable(source: str, what: str, error: Exception) -> UserError:
    """The sentence for a source that cannot be loaded, with the reason in short."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:;")
    advice = "it must be a Transformers model with safetensors weights, in a folder, cached, or on a hub within reach"
    return UserError(f"The {what} '{source}' cannot be loaded ({reason}); {advice}.")
