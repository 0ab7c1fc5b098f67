"""Encoders: one file per way of reading an input. `ENCODERS` maps a recipe's name to its class; an input
whose encoder is not named gets the first of its modality."""

from sensorium.encoders.audio_conv import AudioConv
from sensorium.encoders.audio_recurrent import AudioRecurrent
from sensorium.encoders.bert_text import BertText
from sensorium.encoders.clip_image import ClipImage
from sensorium.encoders.clip_text import ClipText
from sensorium.encoders.davit import DaViT
from sensorium.encoders.decoder_words import DecoderWords
from sensorium.encoders.image_capsules import ImageCapsules
from sensorium.encoders.image_conv import ImageConv
from sensorium.encoders.points import PointsEncoder
from sensorium.encoders.series import SeriesEncoder
from sensorium.encoders.table import TableEncoder
from sensorium.encoders.text import TextTransformer
from sensorium.encoders.text_causal import TextCausal
from sensorium.encoders.text_recurrent import TextRecurrent
from sensorium.encoders.timm_image import TimmImage
from sensorium.encoders.transformers_audio import TransformersAudio
from sensorium.encoders.transformers_text import TransformersText
from sensorium.encoders.video import VideoFrames
from sensorium.encoders.vit import ViT
from sensorium.encoders.word_vectors import WordVectors

ENCODERS = {
    "table": TableEncoder,
    "text": TextTransformer,
    "text_recurrent": TextRecurrent,
    "text_causal": TextCausal,
    "bert_text": BertText,
    "word_vectors": WordVectors,
    "decoder_words": DecoderWords,
    "transformers_text": TransformersText,
    "image_conv": ImageConv,
    "image_capsules": ImageCapsules,
    "vit": ViT,
    "timm": TimmImage,
    "davit": DaViT,
    "clip_image": ClipImage,
    "clip_text": ClipText,
    "audio_conv": AudioConv,
    "audio_recurrent": AudioRecurrent,
    "transformers_audio": TransformersAudio,
    "video": VideoFrames,
    "series": SeriesEncoder,
    "points": PointsEncoder,
}
