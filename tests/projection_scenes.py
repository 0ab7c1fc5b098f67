"""What has to be so before the mistakes with projections."""

from collections.abc import Callable

from tests.reviews import sensorium


def _layered(scene: object) -> None:
    small = "--encoder photo=clip_image,size=8,patch=4,width=8,depth=1,heads=1"
    small += " --encoder review=clip_text,width=8,depth=1,heads=1"
    layer = '--set "projections={review: {hidden: 8}}"'
    made = f"pretrain clip reviews.csv --image photo --text review --epochs 1 {small} {layer} --out runs/layered"
    said = sensorium(made)
    assert said.code == 0, said.err


SCENES: dict[str, Callable[[object], None]] = {
    "A projection is more than others' CLIP has": _layered,
    "A pretrained model is to get other projections": _layered,
}
