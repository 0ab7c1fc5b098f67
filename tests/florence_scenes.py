"""Tiny Florence-2s of Transformers with random weights, in its layout and in Microsoft's, and pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BartConfig,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

BOS, PAD, END, BINS = 0, 1, 2, 1000
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MARKS = ["<od>", "</od>", "<ocr>", "</ocr>", *(f"<loc_{number}>" for number in range(BINS))]
MARKS += ["<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"]
MARKS += ["<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>", "<proposal>"]
MARKS += ["</proposal>", "<poly>", "</poly>", "<and>"]
WORDS = 4 + len(LETTERS) + len(MARKS)
POSITIONS = 160
# Tasks of Transformers' processor, and what stands after them in a prompt.
PUBLISHED = {
    "caption": "<CAPTION>", "detailed caption": "<DETAILED_CAPTION>",
    "more detailed caption": "<MORE_DETAILED_CAPTION>",
    "detect": "<OD>", "regions": "<DENSE_REGION_CAPTION>", "proposals": "<REGION_PROPOSAL>",
    "ground": "<CAPTION_TO_PHRASE_GROUNDING>a red car", "segment": "<REFERRING_EXPRESSION_SEGMENTATION>a red car",
    "region to segment": "<REGION_TO_SEGMENTATION><loc_100><loc_200><loc_500><loc_600>",
    "open vocabulary detection": "<OPEN_VOCABULARY_DETECTION>a red car",
    "region to category": "<REGION_TO_CATEGORY><loc_100><loc_200><loc_500><loc_600>",
    "region to description": "<REGION_TO_DESCRIPTION><loc_100><loc_200><loc_500><loc_600>",
    "region to text": "<REGION_TO_OCR><loc_100><loc_200><loc_500><loc_600>",
    "read": "<OCR>", "read with regions": "<OCR_WITH_REGION>",
}  # fmt: skip
# By name: the side of a picture, its tower, and BART.
SIZES: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "shallow": (
        32,
        {"depths": [1, 1], "embed_dim": [8, 16], "num_heads": [1, 2], "num_groups": [2, 4], "window_size": 3},
        {"encoder_layers": 2, "decoder_layers": 2},
    ),
    "scaled": (
        48,
        {"depths": [1, 2], "embed_dim": [12, 24], "num_heads": [2, 3], "num_groups": [3, 2], "window_size": 6,
         "qkv_bias": False, "mlp_ratio": 2.0},
        {"encoder_layers": 1, "decoder_layers": 2, "scale_embedding": True, "encoder_ffn_dim": 24},
    ),
    "deep": (
        64,
        {"depths": [1, 1, 2, 1], "embed_dim": [4, 8, 8, 16], "num_heads": [1, 2, 2, 4], "num_groups": [1, 2, 2, 4],
         "window_size": 4},
        {"encoder_layers": 3, "decoder_layers": 1},
    ),
}  # fmt: skip

ENDS = {"shallow": 4, "scaled": 2, "deep": 14}  # how much likelier the end is made, so that texts differ in length


def published(size: str = "shallow", seed: int = 0, words: int | None = None) -> Florence2ForConditionalGeneration:
    """A model whose texts differ. words: of its tokenizer; None has the token of pictures among them, and filling."""
    torch.manual_seed(seed)
    _, vision, text = SIZES[size]
    stages = len(vision["depths"])
    steps = {
        "patch_size": [7, 3, 3, 3], "patch_stride": [4, 2, 2, 2], "patch_padding": [3, 1, 1, 1],
        "patch_prenorm": [False, True, True, True],
    }  # fmt: skip
    vision_config = Florence2VisionConfig(
        **vision | {name: values[:stages] for name, values in steps.items()}, projection_dim=16,
        max_position_embeddings=10, max_temporal_embeddings=5,
    )  # fmt: skip
    special = {"bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD, "decoder_start_token_id": END}
    bart = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 24} | text
    text_config = BartConfig(
        **bart, **special, vocab_size=words or -(-(WORDS + 1) // 64) * 64, d_model=16, encoder_attention_heads=2,
        decoder_attention_heads=4, max_position_embeddings=POSITIONS, forced_bos_token_id=None,
        forced_eos_token_id=None,
    )  # fmt: skip
    config = Florence2Config(
        vision_config=vision_config.to_dict(), text_config=text_config.to_dict(), image_token_id=WORDS
    )
    model = Florence2ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.model.language_model.decoder.embed_positions.weight.mul_(6)  # so that no token follows itself for ever
        model.model.language_model.shared.weight[END] *= ENDS[size]
    model.generation_config = GenerationConfig(**special, forced_bos_token_id=BOS)
    return model


def tokenizer(pictures: bool = True, marks: bool = True) -> Tokenizer:
    """A tokenizer of bytes, like BART's. pictures: with the token that stands for them; marks: with those of places."""
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    words = Tokenizer(models.BPE({token: number for number, token in enumerate([*names, *LETTERS])}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    added = [*names, *(MARKS if marks else ()), *(["<image>"] if pictures else ())]
    words.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in added])
    return words


def processor(size: str = "shallow") -> Florence2Processor:
    """Transformers' own."""
    side, vision, _ = SIZES[size]
    images = CLIPImageProcessor(
        size={"height": side, "width": side},
        do_center_crop=False,
        image_mean=[0.4, 0.5, 0.6],
        image_std=[0.2, 0.25, 0.3],
    )
    images.image_seq_length = 1 + (side // (2 * 2 ** len(vision["depths"]))) ** 2
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    reading = ("pure_text", "ocr", "phrase_grounding", "description_with_bboxes", "polygons", "bboxes")
    read = {name: {} for name in (*reading, "description_with_bboxes_or_polygons")}
    return Florence2Processor(images, fast, post_processor_config=read)


def folder_of(model: Florence2ForConditionalGeneration, folder: Path, size: str = "shallow") -> Path:
    """The folder that Transformers writes."""
    model.save_pretrained(folder)
    processor(size).save_pretrained(folder)
    return folder


def original_name(name: str) -> str:
    """What a weight of Transformers' layout is called in Microsoft's."""
    if name.startswith("model.language_model."):
        return name.replace("model.language_model.", "language_model.model.")
    if name.startswith("model.multi_modal_projector."):
        name = name.removeprefix("model.multi_modal_projector.").replace("image_position_embed", "image_pos_embed")
        return name.replace("image_projection.weight", "image_projection")
    steps = name.removeprefix("model.").split(".")
    if steps[1] == "convs":
        return ".".join(steps).replace(".conv.", ".proj.")
    front, (layer, *last) = ".".join(steps[:5]), steps[5:]
    attention = "window_attn" if steps[4] == "spatial_block" else "channel_attn"
    places = {"conv1": "conv1.fn.dw", "conv2": "conv2.fn.dw", "norm1": f"{attention}.norm", "norm2": "ffn.norm"}
    places |= {"ffn": "ffn.fn.net", attention: f"{attention}.fn"}
    return ".".join([front, places[layer], *last])


def original_folder_of(model: Florence2ForConditionalGeneration, folder: Path, size: str = "shallow") -> Path:
    """The folder that Microsoft publishes of a model, without its code and the location tokens, which that adds."""
    folder.mkdir()
    copies = ("lm_head.weight", "model.language_model.encoder.embed_tokens.weight")
    copies += ("model.language_model.decoder.embed_tokens.weight",)
    state = {original_name(name): weight for name, weight in model.state_dict().items() if name not in copies}
    state["image_projection"] = state["image_projection"].T
    state["language_model.final_logits_bias"] = torch.zeros(1, model.config.text_config.vocab_size)
    save_file({name: weight.contiguous().clone() for name, weight in state.items()}, folder / "model.safetensors")
    vision, text = model.config.vision_config.to_dict(), model.config.text_config.to_dict()
    vision["dim_embed"], vision["model_type"] = vision.pop("embed_dim"), "davit"
    vision["image_pos_embed"] = {"type": "learned_abs_2d", "max_pos_embeddings": vision.pop("max_position_embeddings")}
    temporal = {"type": "COSINE", "max_temporal_embeddings": vision.pop("max_temporal_embeddings")}
    vision |= {"visual_temporal_embedding": temporal, "patch_prenorm": vision["patch_prenorm"]}
    vision |= {"image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"], "enable_checkpoint": False}
    text |= {"model_type": "florence2_language", "forced_bos_token_id": BOS, "normalize_before": False, "num_beams": 3}
    text |= {"early_stopping": True, "no_repeat_ngram_size": 3, "add_bias_logits": False, "classif_dropout": 0.1}
    config = {"model_type": "florence2", "vision_config": vision, "text_config": text, "vocab_size": WORDS}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer(pictures=False, marks=False).save(str(folder / "tokenizer.json"))
    processor(size).image_processor.save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    code = {"auto_map": {"AutoProcessor": "processing_florence2.Florence2Processor"}}
    file.write_text(json.dumps(json.loads(file.read_text()) | code | {"processor_class": "Florence2Processor"}))
    return folder


def picture(seed: int = 0, height: int = 30, width: int = 50) -> np.ndarray:
    """uint8 [H, W, 3]: blots of colour."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return coarse[np.arange(height) * 5 // height][:, np.arange(width) * 5 // width]


def example(folder: Path) -> None:
    """Writes what docs/florence.md works on into `folder`: street.jpg, shop.png, pictures.csv and models/florence."""
    Image.fromarray(picture(1, 60, 90)).save(folder / "street.jpg")
    Image.fromarray(picture(2, 90, 40)).save(folder / "shop.png")
    lines = ["image,prompt,text"]
    for number in range(20):
        name = f"scene-{number}.png"
        Image.fromarray(picture(number)).save(folder / name)
        lines.append(f"{name},detect,blot<loc_{number}><loc_5><loc_600><loc_700>")
    (folder / "pictures.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    folder_of(published(), folder / "models" / "florence")
