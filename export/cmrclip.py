"""The CMR-CLIP network: a space-time vision transformer and a BERT, projected into one space.

Instead of the published transformer, a network that is trained here may have a convolutional tower.

The parameters have the names of the published checkpoint (`makiyeah/CMRCLIP`), so a checkpoint
loads with `load_state_dict(strict=True)`, and the published code reads a network that is trained
here. Written from the behaviour of the published code (Makiya11/CMRCLIP @ 4dd42e8, after "Frozen in
Time", Bain et al. 2021); tests compare this network with its recorded answers in
tests/golden/cmrclip_tiny.

Letters of the shape comments: B studies, F frames, N patches of a frame, T = 1 + F * N tokens,
C width of the tower, h heads, d = C / h, D length of the embedding, L text tokens.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from export.convolutional import ConvolutionalSizes, ConvolutionalTower

#: Which patches attend to each other; all of them also attend to [CLS].
#: time: the same place in all frames. space: all places in the same frame.
Axis = Literal["time", "space"]


@dataclass(frozen=True)
class VideoSizes:
    """The sizes of the video tower; published: 224, 16, 768, 12, 12, 3072, 64."""

    image: int  #: rows and columns of a frame
    patch: int  #: rows and columns of a patch
    width: int
    depth: int  #: blocks
    heads: int
    hidden: int  #: width inside the blocks' MLP
    frames: int  #: frames that have a temporal position

    @property
    def places(self) -> int:
        """Patches of a frame."""
        return (self.image // self.patch) ** 2


@dataclass(frozen=True)
class TextSizes:
    """The sizes of the text tower; published: 28996, 768, 12, 12, 3072, 512, 2."""

    vocabulary: int
    width: int
    depth: int  #: layers
    heads: int
    hidden: int  #: width inside the layers' MLP
    positions: int  #: tokens at most
    types: int = 2  #: segments; only the first is used


#: The sizes of either video tower; both have `image`, `frames` and `width`.
AnyVideoSizes = VideoSizes | ConvolutionalSizes


@dataclass(frozen=True)
class NetworkSizes:
    """All sizes of a CMR-CLIP network."""

    video: AnyVideoSizes
    text: TextSizes
    embedding: int  #: length of both embeddings; published: 512


class CmrClip(nn.Module):
    """Both towers and their projections. Embeddings are NOT normalised; see `similarity`."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.video_model = build_video_tower(sizes.video)
        self.text_model = BertModel(bert_config(sizes.text))
        # Plain matrix products: their export does not depend on the version of torch.
        self.text_model.set_attn_implementation("eager")
        self.vid_proj = nn.Sequential(nn.ReLU(), nn.Linear(sizes.video.width, sizes.embedding))
        self.txt_proj = nn.Sequential(nn.ReLU(), nn.Linear(sizes.text.width, sizes.embedding))

    def embed_video(self, video: Tensor) -> Tensor:
        """Embed normalised frames (B, F, 3, H, W), padded with zeros; (B, D)."""
        return self.project_video(self.video_model(video))

    def project_video(self, feature: Tensor) -> Tensor:
        """Project the video tower's feature (B, C) to (B, D)."""
        embedding: Tensor = self.vid_proj(feature)
        return embedding

    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed tokens (B, L); `attention_mask` is 1 for tokens and 0 for padding; (B, D)."""
        present = attention_mask.to(torch.float32)  # (B, L)
        # Added to the scores, (B, h, L, L); BERT would make it of a (B, L) mask by a long detour.
        hiding = (1 - present)[:, None, None] * torch.finfo(torch.float32).min  # (B, 1, 1, L)
        hidden = self.text_model(input_ids, attention_mask=hiding).last_hidden_state  # (B, L, C)
        weight = present[..., None]  # (B, L, 1)
        feature = (hidden * weight).sum(1) / weight.sum(1)  # (B, C)
        embedding: Tensor = self.txt_proj(feature)
        return embedding


def build_video_tower(
    sizes: AnyVideoSizes,
) -> "VideoTower | ConvolutionalTower":
    """Return the video tower of some sizes, with fresh weights."""
    if isinstance(sizes, ConvolutionalSizes):
        return ConvolutionalTower(sizes)
    return VideoTower(sizes)


def similarity(text: Tensor, video: Tensor) -> Tensor:
    """Return the cosines (P, B) of text embeddings (P, D) with video embeddings (B, D)."""
    return functional.normalize(text, dim=-1) @ functional.normalize(video, dim=-1).mT


def bert_config(sizes: TextSizes) -> BertConfig:
    """Return the configuration of a text tower; all that `sizes` does not name is BERT-base's."""
    return BertConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.types,
    )


class VideoTower(nn.Module):
    """Frames in, the feature of their [CLS] token out."""

    def __init__(self, sizes: VideoSizes) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(sizes.patch, sizes.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + sizes.places, sizes.width))
        self.temporal_embed = nn.Parameter(torch.zeros(1, sizes.frames, sizes.width))
        self.blocks = nn.ModuleList(
            Block(sizes.width, sizes.heads, sizes.hidden) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(sizes.width, eps=1e-6)

    def forward(self, video: Tensor) -> Tensor:
        """Return the feature (B, C) of normalised frames (B, F, 3, H, W)."""
        return self.encode(self.patch_embed(video))

    def encode(self, patches: Tensor) -> Tensor:
        """Return the feature (B, C) of embedded patches (B, F, N, C) without positions."""
        frames = patches.shape[1]
        tokens = self._positioned(patches)  # (B, T, C)
        *blocks, last = cast(list[Block], self.blocks)
        for block in blocks:
            tokens = block(tokens, frames)
        summary: Tensor = self.norm(last.summarise(tokens, frames))  # (B, 1, C)
        return summary[:, 0]

    def _positioned(self, patches: Tensor) -> Tensor:
        """[CLS] first, then the patches frame by frame; [CLS] has no temporal position."""
        batch, frames = patches.shape[:2]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)  # (B, 1, C)
        temporal = self.temporal_embed[:, :frames, None]  # (1, F, 1, C)
        patches = patches + self.pos_embed[:, None, 1:] + temporal  # (B, F, N, C)
        return torch.cat([cls, patches.flatten(1, 2)], dim=1)


class PatchEmbedding(nn.Module):
    """Cut frames into patches and project each."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, video: Tensor) -> Tensor:
        """Embed frames (B, F, 3, H, W) as (B, F, N, C)."""
        patches = self.proj(video.flatten(0, 1))  # (B * F, C, rows, columns)
        return as_tokens(patches, video.shape[1])


def as_tokens(patches: Tensor, frames: int) -> Tensor:
    """Turn what a patch convolution returns (B * F, C, rows, columns) into (B, F, N, C)."""
    return torch.unflatten(patches.flatten(2).mT, 0, (-1, frames))


class Block(nn.Module):
    """Attention over time, attention over space, MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.norm3 = nn.LayerNorm(width, eps=1e-6)
        self.attn = GroupedAttention(width, heads, "space")
        self.timeattn = GroupedAttention(width, heads, "time")
        self.mlp = Mlp(width, hidden)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Map tokens (B, T, C) of `frames` frames to (B, T, C)."""
        timed = tokens + self.timeattn(self.norm3(tokens), frames)
        # The space branch is added to what came in, not to `timed`: so published, so trained.
        spaced = tokens + self.attn(self.norm1(timed), frames)
        mixed: Tensor = spaced + self.mlp(self.norm2(spaced))
        return mixed

    def summarise(self, tokens: Tensor, frames: int) -> Tensor:
        """Return the [CLS] row of `forward` (B, 1, C), without working out the other rows."""
        timed = tokens + self.timeattn(self.norm3(tokens), frames)
        spaced = tokens[:, :1] + self.attn.summarise(self.norm1(timed))
        mixed: Tensor = spaced + self.mlp(self.norm2(spaced))
        return mixed


class GroupedAttention(nn.Module):
    """Attention in which [CLS] sees all tokens, and a patch sees [CLS] and its own group."""

    def __init__(self, width: int, heads: int, axis: Axis) -> None:
        super().__init__()
        self.heads = heads
        self.axis = axis
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Map tokens (B, T, C) to (B, T, C)."""
        query, key, value = self._heads(tokens)
        cls = attend(query[:, :, :1], key, value)  # (B, h, 1, d)
        patches = attend(
            self._groups(query, frames),
            self._groups(key, frames, with_cls=True),
            self._groups(value, frames, with_cls=True),
        )  # time: (B, h, N, F, d), space: (B, h, F, N, d)
        if self.axis == "time":
            patches = patches.transpose(2, 3)
        return self._merged(torch.cat([cls, patches.flatten(2, 3)], dim=2))

    def summarise(self, tokens: Tensor) -> Tensor:
        """Return the [CLS] row (B, 1, C) alone."""
        query, key, value = self._heads(tokens)
        return self._merged(attend(query[:, :, :1], key, value))

    def _heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv = torch.unflatten(self.qkv(tokens), 2, (3, self.heads, -1))  # (B, T, 3, h, d)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, h, T, d)
        return query, key, value

    def _groups(self, tokens: Tensor, frames: int, *, with_cls: bool = False) -> Tensor:
        """Sort the patches of (B, h, T, d) into groups, [CLS] leading each where asked."""
        groups = torch.unflatten(tokens[:, :, 1:], 2, (frames, -1))  # (B, h, F, N, d)
        if self.axis == "time":
            groups = groups.transpose(2, 3)  # (B, h, N, F, d)
        if not with_cls:
            return groups
        cls = tokens[:, :, None, :1].expand(-1, -1, groups.shape[2], -1, -1)
        return torch.cat([cls, groups], dim=3)

    def _merged(self, heads: Tensor) -> Tensor:
        """Join the heads (B, h, T, d) and project: (B, T, C)."""
        projected: Tensor = self.proj(heads.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T, C) to (B, T, C), each by itself."""
        mapped: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return mapped


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of (B, h, ..., Q, d) to (B, h, ..., K, d); (B, h, ..., Q, d)."""
    # Fused kernels and the export know four dimensions only: groups count as heads.
    mixed = functional.scaled_dot_product_attention(
        query.flatten(1, -3), key.flatten(1, -3), value.flatten(1, -3)
    )
    return torch.unflatten(mixed, 1, query.shape[1:-2])
