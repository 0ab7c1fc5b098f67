"""Zero-shot classification of JPEG files by 20 labels, ViT-B-32, against Transformers' pipeline: pictures a second.

    python benchmarks/zero_shot.py [--rounds 7] [--threads 1] [--pictures 500]

Both have the same random weights and tokenizer, and read the same files: 640 x 427 pixels, cut from the two photographs
that come with scikit-learn. Ours runs at its defaults (bf16, labels encoded once); the peer as shipped (fp32) and in
bf16. End to end is file to scores, at batch 1 and 32; the tower alone takes prepared pixels and gives the summary. All
alternate within a round. With one thread the time is the process's own, with more it is the wall's. Then the scores in
fp32 from the same pixels are compared, and the first labels in bf16 with those in fp32.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, pipeline

from sensorium.encoders.clip_text import with_end_last
from sensorium.encoders.text_processor import TextProcessor
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.families.clip_checkpoints import convert
from sensorium.model import load

LABELS = (
    "temple", "flower", "mountain", "river", "cat", "dog", "bird", "car", "train", "ship", "tree", "house", "bridge",
    "street", "beach", "forest", "horse", "cow", "person", "bicycle",
)  # fmt: skip
TEMPLATE = "This is a photo of {}."
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def published(folder: Path) -> None:
    """A CLIP of Transformers at the size ViT-B-32, its tokenizer learned from the labels."""
    torch.manual_seed(0)
    words = TextProcessor.train([TEMPLATE.format(label) for label in LABELS], 77, 600)
    words = with_end_last(words.tokenizer)
    words.no_truncation()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="[SEP]", pad_token="[PAD]", bos_token="[CLS]", model_max_length=77
    )
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    text = {"vocab_size": 49_408} | ends
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 32})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    prepared = {
        "do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True,
        "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "resample": 3,
        "rescale_factor": 1 / 255, "image_mean": MEAN, "image_std": STD, "image_processor_type": "CLIPImageProcessor",
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))


def photographs(folder: Path, count: int) -> list[str]:
    """Paths of `count` JPEG files, each a part of one of two photographs, turned and mirrored by chance."""
    chance, sources = np.random.default_rng(0), [Image.fromarray(one) for one in load_sample_images().images]
    paths = []
    for index in range(count):
        source = sources[index % 2]
        share = chance.uniform(0.3, 1)
        width, height = round(source.width * share), round(source.height * share)
        left, top = chance.integers(0, source.width - width + 1), chance.integers(0, source.height - height + 1)
        part = source.crop((left, top, left + width, top + height)).resize((640, 427))
        paths.append(str(folder / f"{index}.jpg"))
        (part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else part).save(paths[-1], quality=90)
    return paths


def alternated(ways: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, list]:
    """Seconds of each way in each round; an untimed one first."""
    seconds: dict[str, list] = {name: [] for name in ways}
    for index in range(rounds + 1):
        for name, way in ways.items():
            began = clock()
            way()
            if index:
                seconds[name].append(clock() - began)
    return seconds


def tell(what: str, seconds: dict[str, list], count: int, floors: dict[str, float]) -> None:
    """A line of speeds, and how many times as fast the first way is as each other."""
    speeds = ", ".join(f"{name} {count / statistics.median(taken):.1f}/s" for name, taken in seconds.items())
    print(f"{what}: {speeds}")
    first, *others = seconds
    for other in others:
        ratios = [theirs / ours for ours, theirs in zip(seconds[first], seconds[other], strict=True)]
        floor = f", floor {floors[other]}" if other in floors else ""
        print(
            f"  {statistics.median(ratios):.2f} times as fast as {other}"
            f" ({min(ratios):.2f} to {max(ratios):.2f}{floor})"
        )


def pixels_of(paths: list[str], peer: object) -> torch.Tensor:
    """float32 [N, 3, 224, 224], normalised, by the peer's own preparation."""
    return torch.stack(
        [peer.image_processor(Image.open(path), return_tensors="pt")["pixel_values"][0] for path in paths]
    )


def main() -> None:
    """Prints the speeds, then how the scores agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        published(folder / "peer")
        convert(str(folder / "peer"), folder / "ours")
        paths = photographs(folder, arguments.pictures)
        compare(folder, paths, arguments.rounds, clock)


@torch.inference_mode()
def compare(folder: Path, paths: list[str], rounds: int, clock: Callable[[], float]) -> None:
    """All of the measurements, on the models in `folder`."""
    model = load(folder / "ours")
    ours = ZeroShot(model, LABELS, [TEMPLATE])
    peers = {
        f"the pipeline in {name}": pipeline(
            "zero-shot-image-classification", str(folder / "peer"), dtype=kind, device="cpu"
        )
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    asked = {"candidate_labels": list(LABELS), "hypothesis_template": TEMPLATE}
    for size, count, floor in ((1, 8, 4.5), (32, 64, 3.7)):
        some = paths[:count]
        records = [{"image": path} for path in some]
        ways = {"ours": lambda r=records, s=size: ours.classify(r, batch_size=s)} | {
            name: lambda p=some, s=size, peer=peer: peer(p, batch_size=s, **asked) for name, peer in peers.items()
        }
        seconds = alternated(ways, rounds, clock)
        tell(f"End to end, batch {size}", seconds, count, {"the pipeline in fp32": floor})
    tower, vision = ours.model.encoders["image"], peers["the pipeline in bf16"].model.vision_model
    for size, floor in ((1, 1.6), (32, 1.3)):
        pixels = torch.randint(0, 256, (size, 3, 224, 224), dtype=torch.uint8)
        inputs = {"pixels": pixels, "mask": torch.ones(size, 1, dtype=torch.bool)}
        theirs = torch.randn(pixels.shape).bfloat16()
        ways = {"ours": lambda i=inputs: tower(i), "theirs in bf16": lambda t=theirs: vision(t)}
        tell(f"The tower, batch {size}", alternated(ways, rounds, clock), size, {"theirs in bf16": floor})
    agreement(model, ours, peers["the pipeline in fp32"], paths, asked)


def agreement(model: object, ours: ZeroShot, peer: object, paths: list[str], asked: dict) -> None:
    """How far scores and first labels are from the peer's in fp32."""
    exact = ZeroShot(model, LABELS, [TEMPLATE], precision="fp32")
    embeddings = []
    for start in range(0, len(paths), 32):
        pixels = pixels_of(paths[start : start + 32], peer)
        raw = (pixels * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)) * 255
        inputs = {"pixels": raw.round().clamp(0, 255).byte(), "mask": torch.ones(len(raw), 1, dtype=torch.bool)}
        embeddings.append(model.embedding("image", model.encode({"image": inputs})["image"]).numpy())
    same_pixels = exact.probabilities(np.concatenate(embeddings))
    wanted = peer(paths, batch_size=32, **asked)
    theirs = np.array([[{one["label"]: one["score"] for one in row}[label] for label in LABELS] for row in wanted])
    print(f"Scores in fp32, same pixels: at most {np.abs(same_pixels - theirs).max():.1e} apart")
    records = [{"image": path} for path in paths]
    in_bf16, in_fp32 = ours.scores(records).argmax(1), exact.scores(records).argmax(1)
    print(f"First label in bf16 the same as in fp32: {(in_bf16 == in_fp32).sum()} of {len(paths)}")


if __name__ == "__main__":
    main()
