"""ablate: which way of transferring a pretrained model works on your images, by how much, and how sure can you be?"""

__version__ = "0.1.0"
