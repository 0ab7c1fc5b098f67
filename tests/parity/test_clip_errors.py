"""What does not fit is one sentence, never numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sensorium.errors import UserError
from sensorium.families.clip_checkpoints import convert
from tests.parity.published import open_clip_folder, tokenizer, transformers_folder


def weights(change: Callable[[dict], object], name: str = "model.safetensors") -> Callable[[Path], None]:
    """Changes the folder's weights."""

    def apply(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name)

    return apply


def stated(name: str, *keys: str, value: object) -> Callable[[Path], None]:
    """States something else in a JSON file of the folder."""

    def apply(folder: Path) -> None:
        whole = json.loads((folder / name).read_text())
        part = whole
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        (folder / name).write_text(json.dumps(whole))

    return apply


def without(name: str) -> Callable[[Path], None]:
    """Takes a file away."""
    return lambda folder: (folder / name).unlink()


def another_tokenizer(folder: Path) -> None:
    """A tokenizer whose end token has another number: that of its start token."""
    whole = json.loads((folder / "tokenizer.json").read_text())
    end = whole["post_processor"]["special_tokens"]["[SEP]"]
    end["ids"] = whole["post_processor"]["special_tokens"]["[CLS]"]["ids"]
    (folder / "tokenizer.json").write_text(json.dumps(whole))


def no_end(folder: Path) -> None:
    """A tokenizer that puts nothing at the end of a text."""
    whole = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(whole | {"post_processor": None}))


TRANSFORMERS = [
    (weights(lambda tensors: tensors.pop("visual_projection.weight")), "lacks 1 weight, 'visual_projection.weight'"),
    (weights(lambda tensors: tensors.update(extra=torch.ones(1))), "has beyond the model's 1 weight, 'extra'"),
    (
        weights(lambda tensors: tensors.update({"text_projection.weight": torch.ones(20, 31)})),
        "'text_projection.weight' has the shape \\[20, 31\\], the configuration says \\[20, 32\\]",
    ),
    (
        weights(lambda t: t.update({"text_model.encoder.layers.1.self_attn.k_proj.weight": torch.ones(32, 30)})),
        "k_proj.weight' has the shape \\[32, 30\\]",
    ),
    (stated("config.json", "text_config", "hidden_act", value="relu"), "no activation 'relu'; did you mean 'gelu'"),
    (stated("config.json", "vision_config", "hidden_act", value="gelu_new"), "no activation 'gelu_new'; did you mean"),
    (stated("config.json", "vision_config", "patch_size", value=16), "has the shape"),
    (stated("config.json", "vision_config", "num_attention_heads", value=5), "describes no model of ours"),
    (stated("config.json", "vision_config", "num_hidden_layers", value=4), "lacks 16 weights"),
    (stated("config.json", "vision_config", "num_hidden_layers", value=2), "has beyond the model's 16 weights"),
    (stated("config.json", "model_type", value="blip"), "model_type 'blip'"),
    (
        stated("config.json", "text_config", "eos_token_id", value=7),
        "ends a text with token 2\\d+, the model reads .* 7",
    ),
    (stated("preprocessor_config.json", "size", value={"longest_edge": 32}), "prepares pictures in a way that is not"),
    (stated("preprocessor_config.json", "resample", value=0), "prepares pictures in a way that is not ours"),
    (stated("preprocessor_config.json", "do_normalize", value=False), "prepares pictures in a way that is not ours"),
    (
        lambda folder: (
            stated("preprocessor_config.json", "size", value={"shortest_edge": 64})(folder),
            stated("preprocessor_config.json", "crop_size", value=64)(folder),
        ),
        "brings pictures to 64 pixels, the model reads 32",
    ),
    (without("preprocessor_config.json"), "no preprocessor_config.json"),
    (without("tokenizer.json"), "no tokenizer.json"),
    (without("model.safetensors"), "no model.safetensors or pytorch_model.bin"),
    (without("config.json"), "holds neither config.json"),
    (another_tokenizer, "ends a text with token 1, the model reads its summary at token"),
    (no_end, "puts no token at the end of a text"),
    (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"123"), "holds no weights that can be read"),
]


@pytest.mark.parametrize("place", range(len(TRANSFORMERS)))
def test_a_transformers_folder_that_does_not_fit(tmp_path: Path, place: int):
    change, sentence = TRANSFORMERS[place]
    transformers_folder(tmp_path / "theirs", "clip", "quick_gelu")
    change(tmp_path / "theirs")
    with pytest.raises(UserError, match=sentence):
        convert(tmp_path / "theirs", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


VISION, TEXT = ("model_cfg", "vision_cfg"), ("model_cfg", "text_cfg")
CONFIG = "open_clip_config.json"
OPEN_CLIP = [
    (weights(lambda tensors: tensors.pop("visual.proj"), "open_clip_model.safetensors"), "lacks 1 weight"),
    (stated(CONFIG, *VISION, "ls_init_value", value=0.1), "the setting 'ls_init_value: 0.1' in vision_cfg"),
    (stated(CONFIG, *VISION, "attentional_pool", value=True), "the setting 'attentional_pool: True'"),
    (stated(CONFIG, *VISION, "act_kwargs", value={"approximate": "tanh"}), "is none of gelu, gelu_tanh and quick_gelu"),
    (stated(CONFIG, *VISION, "layers", value=[3, 4, 6, 3]), "no vision transformer with a class token"),
    (stated(CONFIG, *VISION, "timm_model_name", value="resnet50"), "timm's 'resnet50', which is none of SigLIP's"),
    (stated(CONFIG, *VISION, "timm_model_name", value="vit_no_such"), "which is none of SigLIP's"),
    (stated(CONFIG, *TEXT, "hf_model_name", value="roberta-base"), "the setting 'hf_model_name: roberta-base'"),
    (stated(CONFIG, *TEXT, "proj_type", value="none"), "pools or projects its texts in a way"),
    (stated(CONFIG, "preprocess_cfg", "resize_mode", value="longest"), "prepares pictures by 'longest'"),
    (
        stated(CONFIG, *TEXT, "pool_type", value="eos"),
        "ends a text with token 2\\d+, the model reads its summary at .* 2;",
    ),
    (without("open_clip_model.safetensors"), "no open_clip_model.safetensors or open_clip_pytorch_model.bin"),
    (another_tokenizer, "ends a text with token 1"),
]


@pytest.mark.parametrize("place", range(len(OPEN_CLIP)))
def test_an_open_clip_folder_that_does_not_fit(tmp_path: Path, place: int):
    change, sentence = OPEN_CLIP[place]
    open_clip_folder(tmp_path / "theirs", True)
    change(tmp_path / "theirs")
    with pytest.raises(UserError, match=sentence):
        convert(tmp_path / "theirs", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_files_of_weights_that_do_not_say_enough(tmp_path: Path):
    model = open_clip_folder(tmp_path / "theirs", False)
    (tmp_path / "theirs" / CONFIG).unlink()
    torch.save(model.state_dict(), tmp_path / "theirs" / "weights.pt")
    _refused(tmp_path, "theirs/weights.pt", "does not say its activation; state it with --activation")
    torch.save(model, tmp_path / "theirs" / "weights.pt")
    _refused(tmp_path, "theirs/weights.pt", "holds no weights that can be read without running code")
    torch.save([1, 2], tmp_path / "theirs" / "weights.pt")
    _refused(tmp_path, "theirs/weights.pt", "holds no state dictionary")
    save_file({"a": torch.ones(1)}, tmp_path / "theirs" / "weights.safetensors")
    with pytest.raises(UserError, match="no CLIP of OpenAI's or open_clip's layout"):
        convert(tmp_path / "theirs" / "weights.safetensors", tmp_path / "ours", activation="gelu")
    (tmp_path / "theirs" / "tokenizer.json").rename(tmp_path / "words.txt")
    _refused(tmp_path, "words.txt", "is no file of weights")


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _refused(tmp_path, "no/such/folder", "There is no folder or file")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be loaded .*127.0.0.1:9 does not answer"):
        convert("someone/no-such-clip", tmp_path / "ours")
    transformers_folder(tmp_path / "theirs", "clip", "gelu")
    with pytest.raises(UserError, match="no format to write 'openclip'; did you mean 'open_clip'"):
        convert(tmp_path / "theirs", tmp_path / "ours", to="openclip")
    with pytest.raises(UserError, match="is in its configuration; leave --activation out"):
        convert(tmp_path / "theirs", tmp_path / "ours", activation="gelu")
    convert(tmp_path / "theirs", tmp_path / "ours")
    with pytest.raises(UserError, match="something in .*ours already; choose another folder, or replace"):
        convert(tmp_path / "theirs", tmp_path / "ours")
    convert(tmp_path / "theirs", tmp_path / "ours", overwrite=True)
    with pytest.raises(UserError, match="is a checkpoint of ours already; say what to write"):
        convert(tmp_path / "ours", tmp_path / "again")


def _refused(folder: Path, source: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        convert(folder / source, folder / "ours")
    assert not (folder / "ours").exists()


def test_models_that_others_do_not_have(tmp_path: Path):
    from sensorium.encoders.text_processor import TextProcessor
    from sensorium.families.clip import PRESETS, clip
    from sensorium.families.clip_checkpoints import write

    tokens = TextProcessor(tokenizer().backend_tokenizer, 77, 0, 0, None, None)
    tiny = PRESETS["tiny"]
    small = {"width": 16, "depth": 1, "heads": 2}
    image, text = tiny.image.model_copy(update=small), tiny.text.model_copy(update=small)
    changes = [
        ({"image": image.model_copy(update={"pooling": "mean"})}, "has pooling of pictures class, this model mean"),
        ({"text": text.model_copy(update={"causal": False})}, "has causal True, this model False"),
        ({"text": text.model_copy(update={"pooling": "mean"})}, "no text pooling 'mean'"),
        ({"logit_bias": -10.0}, "has logit_bias None, this model some"),
    ]
    for change, sentence in changes:
        model = clip(tiny.model_copy(update={"image": image, "text": text} | change), tokens)
        with pytest.raises(UserError, match=sentence):
            write(model, tmp_path / "out", "transformers")
        assert not (tmp_path / "out").exists()
    mixed = {"image": image, "text": text.model_copy(update={"activation": "quick_gelu"})}
    with pytest.raises(UserError, match="open_clip has one activation for both towers"):
        write(clip(tiny.model_copy(update=mixed), tokens), tmp_path / "out", "open_clip")
    with pytest.raises(UserError, match="without a projection or a tokenizer cannot be written"):
        numbers = {"image": image, "text": text.model_copy(update={"vocabulary": 300, "end_token": 299})}
        write(clip(tiny.model_copy(update=numbers)), tmp_path / "out", "transformers")
