"""FIBER's forward pass once more, from the equations of its fact sheet alone: tensors, loops, no module of the package.

`wrong` names a mistake that is made on purpose, to show that a comparison would notice it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu, layer_norm

from knee_i2m2.experts.fiber.fiber import FiberSize
from knee_i2m2.experts.fiber.image import SwinSize
from knee_i2m2.experts.fiber.text import RobertaSize

SMALL = FiberSize(
    image=SwinSize(side=96, width=8, depths=(2, 2, 6, 2), heads=(1, 2, 2, 4)),
    text=RobertaSize(width=24, layers=7, heads=3, hidden=40, words=60, positions=14),
    width=20,
)
"""Four stages with window 3 and shift 1; six pairs over the last two stages, one text layer below them."""

State = dict[str, Tensor]


def roused(network: nn.Module, seed: int = 0) -> nn.Module:
    """Returns the network in float64 with weights that leave no term at rest: gates, tables and norms are random."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    for name, parameter in network.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if "alpha" in name:
            parameter.data = 0.7 + 0.3 * drawn
        elif "norm" in name.lower() and name.endswith("weight"):
            parameter.data = 1 + 0.3 * drawn
        else:
            parameter.data = drawn * (
                parameter[0].numel() ** -0.5 if parameter.ndim > 1 and "table" not in name else 0.5
            )
    return network


def sample(size: FiberSize, batch: int = 2, tokens: int = 9, pictures: int = 2) -> dict[str, Tensor]:
    """Returns pictures and sentences, padded but for the first."""
    generator = torch.Generator().manual_seed(1)
    side, words = size.image.side, size.text.words
    images = torch.randn(batch, pictures, 3, side, side, generator=generator, dtype=torch.float64)
    sentence = torch.randint(3, words, (batch, tokens), generator=generator)
    for row in range(1, batch):
        sentence[row, tokens - 2 - row :] = 1
    return {"images": images, "sentence": sentence}


def linear(s: State, name: str, x: Tensor) -> Tensor:
    y = x @ s[f"{name}.weight"].T
    return y + s[f"{name}.bias"] if f"{name}.bias" in s else y


def norm(s: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], eps)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | float = 0.0) -> Tensor:
    """softmax(q k / sqrt(d) + bias) v, one head after the other; `bias` is (heads or 1, batch or 1, queries, keys)."""
    d, results = q.shape[-1] // heads, []
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        logits = q[..., part] @ k[..., part].transpose(-1, -2) / math.sqrt(d)
        added = bias if isinstance(bias, float) else bias[min(h, len(bias) - 1)]
        results.append((logits + added).softmax(-1) @ v[..., part])
    return torch.cat(results, -1)


def table_bias(table: Tensor, w: int, wrong: str) -> Tensor:
    """(heads, 1, w^2, w^2) from the rows of the table."""
    places = [(y, x) for y in range(w) for x in range(w)]
    rows = [[(yi - yj + w - 1) * (2 * w - 1) + (xi - xj + w - 1) for yj, xj in places] for yi, xi in places]
    bias = table[torch.tensor(rows)].permute(2, 0, 1)[:, None]
    return bias.transpose(-1, -2) if wrong == "transposed bias" else bias


def label(i: int, side: int, w: int, shift: int) -> int:
    return 0 if i < side - w else 1 if i < side - shift else 2


def block(s: State, size: FiberSize, at: tuple[int, int], x: Tensor, text: tuple | None, wrong: str) -> Tensor:
    """One Swin block on (batch, side, side, width); `text` is (stream, padding bias)."""
    stage, number = at
    p, w, heads, side = (
        f"vit_model.layers.{stage}.blocks.{number}",
        size.image.side // 32,
        size.image.heads[stage],
        x.shape[1],
    )
    shift = w // 2 if number % 2 and side > w and wrong != "no shift" else 0
    u = torch.roll(norm(s, f"{p}.norm1", x), (-shift, -shift), (1, 2))
    near = table_bias(s[f"{p}.attn.relative_position_bias_table"], w, wrong)
    a = torch.zeros_like(u)
    for r in range(0, side, w):
        for c in range(0, side, w):
            places = [
                (label(y, side, w, shift), label(z, side, w, shift)) for y in range(r, r + w) for z in range(c, c + w)
            ]
            apart = torch.tensor([[0.0 if i == j or not shift else -100.0 for j in places] for i in places]).double()
            q, k, v = linear(s, f"{p}.attn.qkv", u[:, r : r + w, c : c + w].flatten(1, 2)).chunk(3, -1)
            seen = linear(s, f"{p}.attn.proj", attention(q, k, v, heads, near + apart))
            if text is not None:
                query = linear(s, f"{p}.attn.qkv_i2t", norm(s, f"{p}.attn.norm_i2t_i", seen))
                k, v = linear(s, f"{p}.attn.qkv_text_i2t", text[0]).chunk(2, -1)
                learnt = attention(query, k, v, heads, text[1])
                seen = seen + s[f"{p}.attn.alpha_i2t"] * linear(s, f"{p}.attn.proj_i2t", learnt)
            a[:, r : r + w, c : c + w] = seen.unflatten(1, (w, w))
    x = x + torch.roll(a, (shift, shift), (1, 2))
    hidden = linear(s, f"{p}.mlp.fc1", norm(s, f"{p}.norm2", x))
    x = x + linear(s, f"{p}.mlp.fc2", gelu(hidden, approximate="tanh" if wrong == "tanh GELU" else "none"))
    return merging(s, stage, x, wrong) if number + 1 == size.image.depths[stage] else x


def merging(s: State, stage: int, x: Tensor, wrong: str) -> Tensor:
    p = f"vit_model.layers.{stage}.downsample"
    if f"{p}.reduction.weight" not in s:
        return x
    order = [(0, 0), (0, 1), (1, 0), (1, 1)] if wrong == "merge order" else [(0, 0), (1, 0), (0, 1), (1, 1)]
    four = torch.cat([x[:, r::2, c::2] for r, c in order], -1)
    return linear(s, f"{p}.reduction", norm(s, f"{p}.norm", four))


def layer(s: State, size: FiberSize, n: int, text: tuple, pixels: Tensor | None, last_norm: bool = True) -> tuple:
    """One RoBERTa layer."""
    (t, bias), p, heads = text, f"text_transformer.encoder.layer.{n}", size.text.heads
    q, k, v = (linear(s, f"{p}.attention.self.{part}", t) for part in ("query", "key", "value"))
    a = linear(s, f"{p}.attention.output.dense", attention(q, k, v, heads, bias))
    if pixels is not None:
        c = f"{p}.crossattention_t2i"
        q, k, v = (
            linear(s, f"{c}.self.query", a),
            linear(s, f"{c}.self.key", pixels),
            linear(s, f"{c}.self.value", pixels),
        )
        a = a + s[f"{p}.alpha_t2i"] * linear(s, f"{c}.output.dense", attention(q, k, v, heads))
    t = norm(s, f"{p}.attention.output.LayerNorm", t + a)
    t = t + linear(s, f"{p}.output.dense", gelu(linear(s, f"{p}.intermediate.dense", t)))
    return (norm(s, f"{p}.output.LayerNorm", t) if last_norm else t), bias


def embedded(s: State, tokens: Tensor, wrong: str) -> tuple:
    """The text stream and its padding bias (1, batch, 1, tokens)."""
    p, real = "text_transformer.embeddings", tokens != 1
    position = torch.tensor(
        [[1 + sum(row[: i + 1]) if row[i] else 1 for i in range(len(row))] for row in real.tolist()]
    )
    t = s[f"{p}.word_embeddings.weight"][tokens] + s[f"{p}.position_embeddings.weight"][position]
    t = norm(s, f"{p}.LayerNorm", t + s[f"{p}.token_type_embeddings.weight"][0])
    bias = torch.where(real, 0.0, -10000.0).double()[None, :, None, :]
    return t, 0 * bias if wrong == "no text mask" else bias


def stem(s: State, images: Tensor) -> Tensor:
    x = conv2d(images, s["vit_model.patch_embed.proj.weight"], s["vit_model.patch_embed.proj.bias"], stride=4)
    return norm(s, "vit_model.patch_embed.norm", x.permute(0, 2, 3, 1))


def pooled(s: State, name: str, h: Tensor) -> Tensor:
    return torch.tanh(linear(s, f"{name}.dense", h))


def joint(s: State, size: FiberSize, images: Tensor, tokens: Tensor, wrong: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """Token features, pixel features and the pooled vector, text first."""
    places = [(g, b) for g, depth in enumerate(size.image.depths) for b in range(depth)]
    x, text = stem(s, images), embedded(s, tokens, wrong)
    for at in places[: -size.fused]:
        x = block(s, size, at, x, None, wrong)
    for n in range(size.text.layers - size.fused):
        text = layer(s, size, n, text, None)
    for at, n in zip(places[-size.fused :], range(size.text.layers - size.fused, size.text.layers), strict=True):
        keeps = n + 1 < size.text.layers or wrong == "last norm kept"
        new = block(s, size, at, x, text, wrong)
        text = layer(
            s, size, n, text, (new if wrong == "sequential" and x.shape == new.shape else x).flatten(1, 2), keeps
        )
        x = new
    t = linear(s, "cross_modal_text_transform", text[0])
    i = linear(s, "cross_modal_image_transform", x.flatten(1, 2))
    both = pooled(s, "cross_modal_text_pooler", t[:, 0]), pooled(s, "cross_modal_image_pooler", i.mean(1))
    return t, i, torch.cat(both, -1)


def image(s: State, size: FiberSize, images: Tensor, wrong: str = "") -> tuple[Tensor, Tensor]:
    x = stem(s, images)
    for at in [(g, b) for g, depth in enumerate(size.image.depths) for b in range(depth)]:
        x = block(s, size, at, x, None, wrong)
    i = linear(s, "cross_modal_image_transform_itc", norm(s, "vit_model.norm", x.flatten(1, 2)))
    h = pooled(s, "cross_modal_image_pooler_itc", i.mean(1))
    return i, h / h.square().sum(-1, keepdim=True).sqrt()


def text(s: State, size: FiberSize, tokens: Tensor, wrong: str = "") -> tuple[Tensor, Tensor]:
    stream = embedded(s, tokens, wrong)
    for n in range(size.text.layers):
        stream = layer(s, size, n, stream, None)
    t = linear(s, "cross_modal_text_transform_itc", stream[0])
    h = pooled(s, "cross_modal_text_pooler_itc", t[:, 0])
    return t, h / h.square().sum(-1, keepdim=True).sqrt()


def nlvr2(s: State, head: State, size: FiberSize, x: dict[str, Tensor]) -> Tensor:
    """The logits of FIBER's NLVR2 head: two joint passes with the same text."""
    (_, _, first), (_, _, second) = (joint(s, size, x["images"][:, n], x["sentence"]) for n in (0, 1))
    hidden = norm(head, "1", linear(head, "0", torch.cat([first, second], -1)))
    return linear(head, "3", gelu(hidden))


def layout(path: Path, kind: str = "pretrain") -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of a checkpoint from their patterns; `nlvr2_finetuned` is the other kind."""
    told = json.loads(path.read_text())
    names = {name: tuple(shape) for pattern, shape in told["pretrain"].items() for name in expanded(pattern)}
    if kind == "pretrain":
        return names
    kept = {name: shape for name, shape in names.items() if name not in told[kind]["absent"]}
    return kept | {name: tuple(shape) for name, shape in told[kind]["added"].items()}


def expanded(pattern: str) -> list[str]:
    """Returns the names of a pattern such as `layer.{0..11}.bias`."""
    found = re.search(r"\{([^}]*)\}", pattern)
    if not found:
        return [pattern]
    first, _, last = found[1].partition("..")
    numbers = range(int(first), int(last) + 1) if last else found[1].split(",")
    return [n for i in numbers for n in expanded(f"{pattern[: found.start()]}{i}{pattern[found.end() :]}")]


def at_side(size: FiberSize, side: int) -> FiberSize:
    """Returns the size with another resolution."""
    return dataclasses.replace(size, image=dataclasses.replace(size.image, side=side))


def difference(a: Tensor, b: Tensor) -> float:
    """Returns the largest difference, in units of the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()
