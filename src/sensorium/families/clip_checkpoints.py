"""Published CLIP and SigLIP checkpoints: recognised, read and written."""

from pathlib import Path

from huggingface_hub import snapshot_download

from sensorium.errors import UserError, unknown
from sensorium.families import clip_open_clip, clip_transformers
from sensorium.families.clip import ClipConfig
from sensorium.families.clip_weights import tower_names
from sensorium.families.conversion import Options
from sensorium.files import whole_folder
from sensorium.model import Model, load
from sensorium.nn.hub import HUB_NAME, knock, unloadable
from sensorium.nn.projection import Projection

WRITERS = {"transformers": clip_transformers.write, "open_clip": clip_open_clip.write}
FILES = (".safetensors", ".pt", ".pth", ".bin")
# What is fetched from the hub: pickled weights, which are read as tensors alone, only where there are no others.
SAFE = ["*.json", "model.safetensors", "open_clip_model.safetensors", "*model-*-of-*.safetensors"]
PICKLED = ["pytorch_model.bin", "open_clip_pytorch_model.bin", "*pytorch_model-*-of-*.bin"]
# What a model has to be, to be written as one of the published two.
CLIP = {
    "pooling of pictures": "class", "pre_norm": True, "patch_bias": False, "causal": True, "pads": None,
    "image_projection": True, "text_bias": False, "logit_bias": None,
}  # fmt: skip
SIGLIP = {
    "pooling of pictures": "attention", "pre_norm": False, "patch_bias": True, "causal": False, "pads": "some",
    "image_projection": False, "text_bias": True, "logit_bias": "some",
}  # fmt: skip
POOLING = {"clip": ("end", "largest"), "siglip": ("last",)}


class PublishedClip:
    """A published CLIP or SigLIP, which becomes a checkpoint of ours."""

    takes_tokenizer = False

    def recognises(self, source: Path, options: Options) -> bool:
        """True: any source that no other kind recognises is read as a CLIP, and `read` says why it is none."""
        return True

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes a checkpoint of ours. Raises UserError as `convert` does."""
        return convert(source, out, None, options.activation, overwrite=True)


class WrittenClip:
    """A checkpoint of ours, or a published one, which is written in the layout `to`, a name of WRITERS."""

    takes_tokenizer = False

    def __init__(self, to: str):
        self.to = to

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes what `write` says. Raises UserError as `convert` does."""
        return convert(source, out, self.to, options.activation, overwrite=True)


def convert(
    source: str | Path, out: str | Path, to: str | None = None, activation: str | None = None, overwrite: bool = False
) -> Model:
    """Writes `source` to the folder `out` and gives the model.

    source: a published folder or file of weights, or a model on the hub; or, with `to`, a checkpoint or run of ours.
    to: "transformers" or "open_clip"; None writes a checkpoint of ours. activation: what a bare file of weights was
    trained with, where it does not say. overwrite: replace what is in `out`, which is an error otherwise.
    Raises UserError as `read` and `write` do."""
    if to is not None and to not in WRITERS:
        raise unknown("format to write", to, WRITERS)
    if Path(out).exists() and not overwrite:
        raise UserError(f"There is something in {out} already; choose another folder, or replace it with --overwrite.")
    folder, ours = Path(source), ("model.json", "model/model.json")
    is_ours = any((folder / name).exists() for name in ours)
    if is_ours and to is None:
        raise UserError(f"{source} is a checkpoint of ours already; say what to write, --to {' or '.join(WRITERS)}.")
    model = load(folder) if is_ours else read(source, activation)
    if to is None:
        model.save(out)
    else:
        write(model, out, to)
    return model


def read(source: str | Path, activation: str | None = None) -> Model:
    """The model of a published folder, file or hub name, in evaluation mode; inputs `image` and `text`. Raises
    UserError for a source that is no CLIP or SigLIP, for a missing, unknown or misfitting weight, an activation or
    preparation that ours are not, and a tokenizer whose end token is not the model's."""
    path = Path(source)
    if path.is_file():
        if path.suffix not in FILES:
            raise UserError(f"{path} is no file of weights; those end in {', '.join(FILES)}.")
        return clip_open_clip.read_file(path, activation)
    folder = path if path.is_dir() else _download(str(source))
    if activation is not None:
        raise UserError(f"The activation of {folder} is in its configuration; leave --activation out.")
    if (folder / clip_open_clip.CONFIG).exists():
        return clip_open_clip.read(folder)
    if (folder / "config.json").exists():
        return clip_transformers.read(folder)
    raise UserError(
        f"{folder} holds neither config.json (Transformers) nor {clip_open_clip.CONFIG} (open_clip); name a folder that"
        " does, or a file of weights."
    )


def _download(name: str) -> Path:
    """The hub's files of a model, from the cache if they are there."""
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"There is no folder or file '{name}'; name one that exists, or a model on the hub.")
    try:
        folder = Path(snapshot_download(name, allow_patterns=SAFE + PICKLED, local_files_only=True))
        if _has_weights(folder):
            return folder
    except OSError:
        pass  # nothing of it is cached
    knock(name, "model")
    try:
        folder = Path(snapshot_download(name, allow_patterns=SAFE))
        return folder if _has_weights(folder) else Path(snapshot_download(name, allow_patterns=PICKLED))
    except Exception as error:  # the hub's client raises its transport's errors, which differ by version
        raise unloadable(name, "model", error) from error


def _has_weights(folder: Path) -> bool:
    """Whether the weights were fetched, in one file or in several."""
    return any(file for pattern in (*SAFE[1:], *PICKLED) for file in folder.glob(pattern))


def write(model: Model, out: str | Path, to: str) -> None:
    """The folder `out`, whole or not at all, as Transformers or open_clip reads it. Raises UserError for a model that
    is neither CLIP nor SigLIP, and says by what."""
    config = config_of(model)
    model_type = _model_type(config)
    with whole_folder(Path(out)) as folder:
        WRITERS[to](model, config, model_type, folder)


def config_of(model: Model) -> ClipConfig:
    """The family's configuration of a model of two of its towers, whatever its inputs are called. Raises UserError."""
    image, text = tower_names(model)
    if text not in model.projections or model.encoders[text].processor is None:
        raise UserError("A text tower without a projection or a tokenizer cannot be written for others.")
    projection = model.projections[text]
    for name, named_projection in model.projections.items():
        linear = Projection(named_projection.in_features, named_projection.out_features, named_projection.bias)
        if named_projection.shape != linear.shape:
            raise UserError(
                f"The projection of '{name}' is more than the linear map that others' CLIP has; it cannot be written"
                " for them."
            )
    return ClipConfig(
        image=model.encoders[image].config,
        text=model.encoders[text].config,
        dim=projection.out_features,
        image_projection=image in model.projections,
        text_bias=projection.bias,
        logit_bias=model.logit_bias.item() if hasattr(model, "logit_bias") else None,
    )


def _model_type(config: ClipConfig) -> str:
    """ "clip" or "siglip". Raises UserError naming the first setting by which it is neither."""
    model_type, expected = ("siglip", SIGLIP) if config.image.pooling == "attention" else ("clip", CLIP)
    settings = {
        "pooling of pictures": config.image.pooling,
        "pre_norm": config.image.pre_norm,
        "patch_bias": config.image.patch_bias,
        "causal": config.text.causal,
        "pads": None if config.text.pads is None else "some",
        "image_projection": config.image_projection,
        "text_bias": config.text_bias,
        "logit_bias": None if config.logit_bias is None else "some",
    }
    for name, value in settings.items():
        if value != expected[name]:
            raise UserError(
                f"Others' {model_type} has {name} {expected[name]}, this model {value}; it cannot be written for them."
            )
    if config.text.pooling not in POOLING[model_type]:
        raise UserError(
            f"Others' {model_type} has no text pooling '{config.text.pooling}'; it cannot be written for them."
        )
    return model_type
