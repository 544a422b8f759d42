"""Adapters that move pixels: flips, rotations, crops and frames."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.adapter import Draws, Geometry, Shape, rows
from dianne.errors import UsageError


class Flip(Geometry):
    """Turns images upside down or mirrors them, each with a probability of its own."""

    def __init__(self, options: AdapterOptions, dims: Shape, both: bool, name: str):
        super().__init__("hflip" if options.hflip else "vflip", dims, both, name)
        self.probabilities = {-2: options.vflip, -1: options.hflip}

    def draw(self, count: int, draws: Draws) -> tuple[Tensor, ...]:
        """For each side (b,) whether it is flipped; never where nothing is augmented."""
        if not draws.learning:
            return ()
        return tuple(draws.uniform(count) < share for share in self.probabilities.values())

    def move(self, images: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:
        """Flipped where the draw says so."""
        for side, flipped in zip(self.probabilities, drawn, strict=False):
            if self.probabilities[side]:
                images = torch.where(rows(flipped, images), images.flip(side), images)
        return images


class Rotation(Geometry):
    """Turns images by a drawn angle, counter-clockwise.

    A pixel takes the value of the one that its place comes from, cut (not rounded) to whole numbers, as the
    reference has it. Where nothing is augmented the angle is the middle of its range.
    """

    def __init__(self, options: AdapterOptions, dims: Shape, both: bool, name: str):
        super().__init__("rotationTheta" if options.rotation_theta else "rotation", dims, both, name)
        if options.rotation and options.rotation_theta:
            raise UsageError("rotation and rotationTheta mean the same, in degrees and radians; give one")
        if not (options.rotation or options.rotation_theta):
            raise UsageError("rotationCenter and zeropad need rotation=..., an angle in degrees")
        self.ends = options.rotation_theta or [degrees * pi / 180 for degrees in options.rotation or []]
        self.zeropad = options.zeropad
        self.random = options.rotation_center == "random"
        centre: list[float] = [(self.width - 1) / 2, (self.height - 1) / 2]
        if options.rotation_center == "true":
            centre = [self.width // 2, self.height // 2]
        elif options.rotation_center and not self.random:
            centre = [int(part) for part in options.rotation_center.split(",")]
        self.centre = torch.tensor(centre)

    def draw(self, count: int, draws: Draws) -> tuple[Tensor, ...]:
        """(b,) angles in radians and (b, 2) centres x, y in pixels."""
        low, high = self.ends
        angles = low + draws.uniform(count) * (high - low)
        if not self.random:
            return angles, self.centre.expand(count, 2)
        return angles, (draws.uniform(count, 2) * torch.tensor([self.width, self.height])).floor()

    def move(self, images: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:
        """Every pixel from its place before the rotation."""
        angles, centres = drawn
        if not angles.any():
            return images
        y, x = self._places(angles.double(), centres.double())
        row, column = y.clamp(0, self.height - 1), x.clamp(0, self.width - 1)
        places = (row * self.width + column).flatten(1)  # (b, h w)
        flat = images.reshape(len(images), -1, self.height * self.width)  # (b, planes, h w)
        moved = flat.gather(2, places.unsqueeze(1).expand(-1, flat.shape[1], -1)).view_as(images)
        if not self.zeropad:
            return moved
        inside = ((row == y) & (column == x)).view(len(images), *[1] * (images.dim() - 3), *row.shape[1:])
        return torch.where(inside, moved, 0)

    def _places(self, angles: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """(b, h, w) whole numbers: row and column from where each pixel comes; maybe outside."""
        sine, cosine = angles.sin().unsqueeze(1), angles.cos().unsqueeze(1)  # (b, 1)
        centre_x, centre_y = centres.unsqueeze(2).unbind(1)  # (b, 1) each
        across = torch.arange(self.width) - centre_x  # (b, w)
        down = torch.arange(self.height) - centre_y  # (b, h)
        y = (across * sine).unsqueeze(1) + (down * cosine + centre_y).unsqueeze(2)
        x = (across * cosine + centre_x).unsqueeze(1) - (down * sine).unsqueeze(2)
        return y.long(), x.long()


class Crop(Geometry):
    """Puts black pixels around images and cuts out a window: every place is as likely as any other.

    Where nothing is augmented the window is the middle one.
    """

    def __init__(self, options: AdapterOptions, dims: Shape, both: bool, name: str):
        key = "cropWidth" if options.crop_width else "cropHeight" if options.crop_height else "cropPadding"
        super().__init__(key, dims, both, name)
        self.padding = options.crop_padding
        self.size = options.crop_height or self.height, options.crop_width or self.width
        full = self.height + 2 * self.padding, self.width + 2 * self.padding
        self.free = full[0] - self.size[0], full[1] - self.size[1]
        if min(self.free) < 0:
            raise UsageError(
                f"a window of {self.size[0]} x {self.size[1]} does not fit into the images of {name}, "
                f"which are {full[0]} x {full[1]} with their padding; raise cropPadding, or use frame"
            )
        self.dims = (*dims[:-2], *self.size)

    def draw(self, count: int, draws: Draws) -> tuple[Tensor, ...]:
        """(b,) first rows and (b,) first columns of the windows."""
        tops, lefts = (
            (draws.uniform(count) * (free + draws.learning)).long().clamp(max=free) for free in self.free
        )
        return tops, lefts

    def move(self, images: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:
        """The windows."""
        tops, lefts = drawn
        around = functional.pad(images, [self.padding] * 4) if self.padding else images
        height, width = self.size
        row = (tops.unsqueeze(1) + torch.arange(height)).unsqueeze(2)  # (b, height, 1)
        column = (lefts.unsqueeze(1) + torch.arange(width)).unsqueeze(1)  # (b, 1, width)
        places = (row * around.shape[-1] + column).flatten(1).unsqueeze(1)  # (b, 1, height width)
        flat = around.reshape(len(images), -1, around.shape[-2] * around.shape[-1])
        found = flat.gather(2, places.expand(-1, flat.shape[1], -1))
        return found.view(*images.shape[:-2], height, width)


class Frame(Geometry):
    """Brings images to one size: cropped in the middle to the ratio of its sides, then scaled (bilinear).

    Missing planes repeat the first one; surplus ones are left out.
    """

    def __init__(self, options: AdapterOptions, dims: Shape, both: bool, name: str):
        super().__init__("frame", dims, both, name)
        frame = tuple(options.frame or ())
        planes = frame[:-2] or dims[:-2]
        self.size = frame[-2], frame[-1]
        self.dims = (*planes, *self.size)

    def draw(self, count: int, draws: Draws) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Nothing."""
        return ()

    def move(self, images: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:  # noqa: ARG002
        """Scaled; corners stay corners."""
        if images.shape[1:] == self.dims:
            return images
        planes = images.view(len(images), -1, self.height, self.width)
        count = self.dims[0] if len(self.dims) == 3 else 1
        if planes.shape[1] < count:
            planes = torch.cat([planes, planes[:, :1].expand(-1, count - planes.shape[1], -1, -1)], 1)
        return framed(planes[:, :count], self.size).view(len(images), *self.dims)


def framed(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (n, c, h, w) cropped in the middle to the ratio of the sides of `size`, then scaled to it.

    Bilinear, corners stay corners; uint8 stays uint8.
    """
    height, width = images.shape[2:]
    scale = min(width / size[1], height / size[0])
    crop = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    middle = images[:, :, top : top + crop[0], left : left + crop[1]].to(torch.float32)
    scaled = functional.interpolate(middle, size=size, mode="bilinear", align_corners=True)
    return scaled.round().to(torch.uint8) if images.dtype == torch.uint8 else scaled
