"""What Florence-2 was trained to do (Xiao et al. 2023, arXiv:2311.06242), by plain names."""

from sensorium.encoders.prompt_processor import Task

TASKS: dict[str, Task] = {
    "caption": Task("What does the image describe?", "text"),
    "detailed caption": Task("Describe in detail what is shown in the image.", "text"),
    "more detailed caption": Task("Describe with a paragraph what is shown in the image.", "text"),
    "detect": Task("Locate the objects with category name in the image.", "boxes"),
    "regions": Task("Locate the objects in the image, with their descriptions.", "boxes"),
    "proposals": Task("Locate the region proposals in the image.", "boxes"),
    "ground": Task("Locate the phrases in the caption: {phrase}", "boxes"),
    "open vocabulary detection": Task("Locate {phrase} in the image.", "boxes"),
    "segment": Task("Locate {phrase} in the image with mask", "polygons"),
    "region to segment": Task("What is the polygon mask of region {region}", "polygons"),
    "region to category": Task("What is the region {region}?", "text"),
    "region to description": Task("What does the region {region} describe?", "text"),
    "region to text": Task("What text is in the region {region}?", "text"),
    "read": Task("What is the text in the image?", "text"),
    "read with regions": Task("What is the text in the image, with regions?", "quads"),
}
