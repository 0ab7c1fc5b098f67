"""Short options made into a recipe's settings."""

import pytest

from sensorium.config.options import encoder
from sensorium.errors import UserError


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("vit", {"encoder": "vit", "config": {}}),
        ("timm:resnet50,pretrained=true", {"encoder": "timm", "config": {"model": "resnet50", "pretrained": True}}),
        ("vit,width=64,frozen=true", {"encoder": "vit", "frozen": True, "config": {"width": 64}}),
        ("timm:vgg16,std=[0, 1],size=9", {"encoder": "timm", "config": {"model": "vgg16", "std": [0, 1], "size": 9}}),
        ("text,augmentation={rate: 0.2}", {"encoder": "text", "config": {"augmentation": {"rate": 0.2}}}),
        ("x,a=[[1, 2], [3, 4]],b=[]", {"encoder": "x", "config": {"a": [[1, 2], [3, 4]], "b": []}}),
    ],
)  # fmt: skip
def test_an_encoder_in_one_string(text, settings):
    assert encoder("photo", text) == settings


@pytest.mark.parametrize("text", ["vit,width", "vit,mean=[1,2", "vit,1,2"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match="encoder of 'photo'"):
        encoder("photo", text)
