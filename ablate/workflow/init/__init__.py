"""From a folder of images to a grid file that one can start from."""
