"""A convolutional video tower, for networks that are trained here from scratch.

Coarse patches let a transformer learn how a heart was drawn instead of the heart: trained on the
same drawings, it tells drawn hearts apart and real ones hardly, and a small convolutional network
tells both. Here each view has a small network of overlapping 3 x 3 convolutions, which sees the
images of its view as channels; so the motion of a cine is seen by the first layer. The features of
the views that a study has are averaged, so that any subset of views has an embedding.

Letters of the shape comments: B studies, F frames, S views, C width of the tower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8  #: of channels that are normalised together; independent of the batch
GAZES = 4  #: weighted averages of a view's maps
#: Contrast below which a view is missing, in units of the normalised frames: a level is 0.017.
FLAT = 0.005


@dataclass(frozen=True)
class ConvolutionalSizes:
    """The sizes of a convolutional video tower."""

    image: int  #: rows and columns of a frame
    slots: tuple[int, ...]  #: frames of each view, in the order of the clip
    channels: tuple[int, ...]  #: of each stage, which halves rows and columns
    width: int  #: of the feature

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return sum(self.slots)

    @property
    def places(self) -> int:
        """Rows, and columns, of the last stage's maps."""
        side = self.image
        for _ in self.channels:
            side = (side + 1) // 2
        return side


class ConvolutionalTower(nn.Module):
    """Frames in, the mean feature of the views that are not missing out."""

    def __init__(self, sizes: ConvolutionalSizes) -> None:
        super().__init__()
        self.slots = sizes.slots
        places = sizes.places**2
        self.views = nn.ModuleList(
            ViewTower(frames, sizes.channels, places, sizes.width) for frames in sizes.slots
        )
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, video: Tensor) -> Tensor:
        """Return the feature (B, C) of normalised frames (B, F, 3, H, W), whose channels agree."""
        return self.encode(video[:, :, 0])

    def encode(self, grey: Tensor) -> Tensor:
        """Return the feature (B, C) of the first channel of normalised frames (B, F, H, W)."""
        parts = torch.split(grey, [*self.slots], dim=1)
        present = torch.stack([_is_shown(part) for part in parts], dim=1)[..., None]  # (B, S, 1)
        seen = [
            self._see(view, part, shown)
            for view, part, shown in zip(self.views, parts, present[..., 0].T, strict=True)
        ]
        features = torch.stack(seen, dim=1) * present  # (B, S, C)
        mean: Tensor = self.norm(features.sum(1) / present.sum(1).clamp(min=1))
        return mean

    def _see(self, view: nn.Module, frames: Tensor, shown: Tensor) -> Tensor:
        """Return the feature of a view (B, C); in training a missing one costs nothing, and is 0.

        A graph has no such branch, because its shapes would depend on the frames.
        """
        if not self.training:
            seen: Tensor = view(frames)
            return seen
        rows = shown.nonzero()[:, 0]
        features = frames.new_zeros(len(frames), self.norm.normalized_shape[0])
        return features.index_copy(0, rows, view(frames[rows])) if len(rows) else features


def _is_shown(frames: Tensor) -> Tensor:
    """Return 1 for each study whose view (B, frames, H, W) shows anything, else 0; (B)."""
    contrast = frames.amax((1, 2, 3)) - frames.amin((1, 2, 3))
    return (contrast > FLAT).to(frames.dtype)


class ViewTower(nn.Module):
    """The network of one view: its frames as channels, halved in each stage, then pooled.

    Maps are averaged with learned weights of each place, several times: the heart is in the middle
    of the frames, and what surrounds it differs between drawn and real chests.
    """

    def __init__(self, frames: int, channels: Sequence[int], places: int, width: int) -> None:
        super().__init__()
        sizes = (frames, *channels)
        self.stages = nn.Sequential(
            *(
                ConvolutionStage(before, after)
                for before, after in zip(sizes, channels, strict=False)
            )
        )
        self.gaze = nn.Parameter(0.1 * torch.randn(GAZES, places))
        self.head = nn.Linear(GAZES * sizes[-1], width)

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames (B, frames, H, W) to a feature (B, C)."""
        maps = self.stages(frames).flatten(2)  # (B, channels, places)
        pooled = maps @ self.gaze.softmax(-1).T  # (B, channels, GAZES)
        feature: Tensor = self.head(pooled.flatten(1))
        return feature


class ConvolutionStage(nn.Module):
    """Two convolutions, of which the first halves rows and columns; the second is residual."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, after)
        self.refine = nn.Conv2d(after, after, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, after)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, after, H / 2, W / 2)."""
        halved = functional.relu(self.norm1(self.halve(maps)))
        refined: Tensor = functional.relu(halved + self.norm2(self.refine(halved)))
        return refined
