"""Pictures, and masks that say which of their pixels belong to something."""

from __future__ import annotations

from pathlib import Path

from dianne.data.dataset import Dataset
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, made, misfit
from dianne.data.readers.opening import Opening
from dianne.data.readers.pictures import folder_of, pictures
from dianne.document import display


@READERS.register("ImageSegmentationDataset")
def read_segmentation(opening: Opening) -> Dataset:
    """Pictures in `images/` (or `file`), and for each its mask, of the same name, in `masks/` (or `targets`).

    A target is the mask (1, height, width), from 0 for black to 1 for white.
    """
    described, descriptor = opening.described, opening.described.descriptor
    if described.labels:
        raise misfit(described, "labels", "labels: the targets of segmentation are masks, not classes")
    if len(descriptor.targets) > 1:
        raise misfit(described, "targets", "targets: expected one folder, that of the masks")
    of_images = folder_of(opening, descriptor.file or "images")
    of_masks = folder_of(opening, [*descriptor.targets, "masks"][0])
    images, masks = pictures(opening, of_images), pictures(opening, of_masks, mask=True)
    by_stem = {_stem(name): index for index, name in enumerate(masks.names)}
    for name in images.names:
        if _stem(name) not in by_stem:
            raise DataError(f"{display(of_images / name)}: has no mask of that name in {display(of_masks)}")
    order = [by_stem[_stem(name)] for name in images.names]
    for size, mask in zip(images.sizes.tolist(), order, strict=True):
        if size != masks.sizes[mask].tolist():
            place, found = display(of_masks / masks.names[mask]), masks.sizes[mask].tolist()
            raise DataError(f"{place}: has {found} pixels, but its image has {size}")
    return made(described, images.samples(list(range(len(order)))), masks.samples(order, floats=True))


def _stem(name: str) -> str:
    return str(Path(name).with_suffix("")).removesuffix("_mask")
