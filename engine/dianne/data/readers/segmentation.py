"""Pictures, and masks that say which of their pixels belong to something."""

from __future__ import annotations

from pathlib import Path

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress
from dianne.data.readers.image_folder import folder_of, pictures
from dianne.data.readers.images import stacked
from dianne.data.readers.making import READERS, made, misfit, tensor
from dianne.document import display
from dianne.workspace import Folder


@READERS.register("ImageSegmentationDataset")
def read_segmentation(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Pictures in `images/` (or `file`), and for each its mask, of the same name, in `masks/` (or `targets`).

    A target is the mask (1, height, width), from 0 for black to 1 for white.
    """
    descriptor = described.descriptor
    if described.labels:
        raise misfit(described, "labels", "labels: the targets of segmentation are masks, not classes")
    if len(descriptor.targets) > 1:
        raise misfit(described, "targets", "targets: expected one folder, that of the masks")
    of_images = folder_of(folder, described, descriptor.file or "images", progress)
    of_masks = folder_of(folder, described, [*descriptor.targets, "masks"][0], progress)
    names, images = pictures(described, of_images)
    mask_names, masks = pictures(described, of_masks, mask=True)
    by_stem = {_stem(name): index for index, name in enumerate(mask_names)}
    for name in names:
        if _stem(name) not in by_stem:
            raise DataError(f"{display(of_images / name)}: has no mask of that name in {display(of_masks)}")
    masks = [masks[by_stem[_stem(name)]] for name in names]
    for name, image, mask in zip(names, images, masks, strict=True):
        if image.shape[1:] != mask.shape[1:]:
            found, expected = list(mask.shape[1:]), list(image.shape[1:])
            place = display(of_masks / mask_names[by_stem[_stem(name)]])
            raise DataError(f"{place}: has {found} pixels, but its image has {expected}")
    inputs = tensor(stacked(images, [display(of_images / name) for name in names]))
    return made(described, inputs, tensor(stacked(masks, names)).float().div_(255))


def _stem(name: str) -> str:
    return str(Path(name).with_suffix("")).removesuffix("_mask")
