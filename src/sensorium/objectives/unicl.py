"""UniCL: pictures, texts and classes in one space (Yang et al. 2022, arXiv:2204.03610), as Florence was pre-trained."""

from sensorium.objectives.contrastive import Contrastive

LABEL = "label"  # the view of a text in which the label of the record's class stands in its place
WEIGHT = 0.3  # of labels, beside captions: on emoji as much is learned of classes as at 1, and of names no less


def unicl(image: str, text: str, labels: bool) -> list[Contrastive]:
    """The contrastive losses of triplets (picture, text, label); without `labels`, CLIP's loss alone.

    In UniCL pairs of one label are positives. The label of a picture and its caption is their own, and so is that of
    all with one content; the label of a picture and the text of its class is the class. A record with a caption and a
    class is both: its picture is compared with the captions of the batch and, as a second loss, with the labels of the
    batch, where all pictures of a class and all texts of it are positives of each other and the target is spread evenly
    over them. Without a caption, or without a class, it takes part in the other loss alone.
    """
    captions = Contrastive(image, text)
    return [captions, Contrastive(image, f"{text}/{LABEL}", weight=WEIGHT)] if labels else [captions]
