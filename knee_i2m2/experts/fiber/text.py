"""The text tower of FIBER: RoBERTa, whose last layers may ask an image.

Embeddings, projections and perceptrons are those of `transformers` (Liu et al., 2019), whose names the checkpoint has;
the layers are put together here, because FIBER adds its cross term before the residual (Dou et al., 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.attention import PADDING, Text, attend, padding_bias
from knee_i2m2.experts.fiber.fusion import TextQueriesImage, gate
from knee_i2m2.experts.local import transformers

if TYPE_CHECKING:
    from transformers import RobertaConfig

__all__ = ["RobertaSize", "RobertaTower"]


@dataclass(frozen=True)
class RobertaSize:
    """How large a text tower is; the defaults are RoBERTa-base.

    Attributes:
        width: Width of the stream.
        layers: Layers.
        heads: Heads of every attention, a divisor of `width`.
        hidden: Hidden units of the perceptrons.
        words: Token ids, padding (1) among them.
        positions: Two more than the longest text has tokens.
        dropout: Rate for streams and attention weights.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    words: int = 50265
    positions: int = 514
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"{self.heads} heads do not divide the text's width {self.width}; give a divisor")


class RobertaTower(nn.Module):
    """RoBERTa, run layer by layer.

    Args:
        size: How large it is.
        image_widths: Channels of the image that each of the last layers reads.
        alpha: Where the gates start.
    """

    def __init__(self, size: RobertaSize, image_widths: tuple[int, ...], alpha: float) -> None:
        super().__init__()
        roberta = _roberta()
        self.size, config = size, _config(size)
        alone = size.layers - len(image_widths)
        reads = [None] * alone + list(image_widths)
        self.embeddings = roberta.RobertaEmbeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config, width, alpha) for width in reads)})
        self.pooler = roberta.RobertaPooler(config)
        self.pooler.requires_grad_(False)  # in the checkpoint, used by no pass
        for layer in self.layers[:alone]:
            layer.alpha_t2i.requires_grad_(False)

    @property
    def layers(self) -> nn.ModuleList:
        """The layers."""
        return self.encoder["layer"]

    def stem(self, tokens: Int64[Tensor, "batch tokens"]) -> Text:
        """Returns what enters the first layer; a token's position counts from 2 and skips the padding.

        Raises:
            ValueError: The text is longer than the tower has positions.
        """
        if tokens.shape[1] > self.size.positions - 2:
            raise ValueError(f"a text of {tokens.shape[1]} tokens comes to a tower of {self.size.positions - 2}")
        return Text(self.embeddings(input_ids=tokens), padding_bias(tokens))

    def step(self, n: int, text: Text, pixels: Float[Tensor, "batch pixels channels"] | None = None) -> Text:
        """Returns what comes after layer `n`, without its last norm, which is `norm(n, text)`."""
        return text._replace(stream=self.layers[n](text, pixels))

    def norm(self, n: int, text: Text) -> Text:
        """Returns the text after the last norm of layer `n`."""
        return text._replace(stream=self.layers[n].output.LayerNorm(text.stream))


class _Layer(nn.Module):
    """Self-attention, the image where one is given, and a perceptron; each ends in a norm, the last one outside."""

    def __init__(self, config: RobertaConfig, image_width: int | None, alpha: float) -> None:
        super().__init__()
        roberta = _roberta()
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.attention = roberta.RobertaAttention(config)
        self.intermediate, self.output = roberta.RobertaIntermediate(config), roberta.RobertaOutput(config)
        self.alpha_t2i = gate(alpha)
        if image_width is not None:
            self.crossattention_t2i = _asking(config, image_width)

    def forward(self, text: Text, pixels: Tensor | None) -> Float[Tensor, "batch tokens width"]:
        own, end = self.attention.self, self.attention.output
        t, dropout = text.stream, self.dropout if self.training else 0.0
        mixed = attend(own.query(t), own.key(t), own.value(t), self.heads, text.bias, dropout)
        a = end.dropout(end.dense(mixed))
        if pixels is not None:
            a = a + self.alpha_t2i * self.crossattention_t2i(a, pixels)
        t = end.LayerNorm(t + a)
        return t + self.output.dropout(self.output.dense(self.intermediate(t)))


def _asking(config: RobertaConfig, image_width: int) -> TextQueriesImage:
    """Returns the cross term of a layer; its norm is in the checkpoint, used by no pass."""
    width, output = config.hidden_size, _roberta().RobertaSelfOutput(config)
    output.LayerNorm.requires_grad_(False)
    sources = {"query": width, "key": image_width, "value": image_width}
    queries = nn.ModuleDict({name: nn.Linear(source, width) for name, source in sources.items()})
    return TextQueriesImage(queries, output, config.num_attention_heads, config.attention_probs_dropout_prob)


def _roberta() -> ModuleType:
    """Returns where `transformers` has RoBERTa's parts."""
    return transformers(".models.roberta.modeling_roberta")


def _config(size: RobertaSize) -> RobertaConfig:
    """Returns the size in the words of `transformers`."""
    return _roberta().RobertaConfig(
        vocab_size=size.words,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.hidden,
        max_position_embeddings=size.positions,
        type_vocab_size=1,
        pad_token_id=PADDING,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        hidden_dropout_prob=size.dropout,
        attention_probs_dropout_prob=size.dropout,
        attn_implementation="eager",
    )
