"""Swin and RoBERTa as `transformers` saves them enter FIBER's towers, which then answer as `transformers` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.checkpoint import without_buffers
from knee_i2m2.experts.fiber.fiber import Fiber
from knee_i2m2.experts.fiber.huggingface import (
    load_roberta,
    load_swin,
    swin_to_fiber,
)
from tests.experts.fiber.reference import SMALL, at_side, difference, sample


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    from transformers.utils import logging as told

    told.disable_progress_bar()
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def shaken(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    return network.eval()


def swin(kind: str) -> nn.Module:
    import transformers

    image = SMALL.image
    config = transformers.SwinConfig(
        image_size=image.side,
        embed_dim=image.width,
        depths=list(image.depths),
        num_heads=list(image.heads),
        window_size=image.window,
        layer_norm_eps=1e-5,
    )
    return shaken(getattr(transformers, kind)(config))


def roberta(kind: str) -> nn.Module:
    import transformers

    text = SMALL.text
    config = transformers.RobertaConfig(
        vocab_size=text.words,
        hidden_size=text.width,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        intermediate_size=text.hidden,
        max_position_embeddings=text.positions,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    return shaken(getattr(transformers, kind)(config))


def pixels(fiber: Fiber, images: Tensor) -> Tensor:
    """Returns the image stream after the last norm."""
    x = fiber.vit_model.stem(images)
    for n in range(len(SMALL.image.places)):
        x = fiber.vit_model.step(n, x)
    return fiber.vit_model.norm(x.flatten(1, 2))


def tokens(fiber: Fiber, ids: Tensor) -> Tensor:
    """Returns the text stream after the last norm."""
    text = fiber.text_transformer.stem(ids)
    for n in range(SMALL.text.layers):
        text = fiber.text_transformer.norm(n, fiber.text_transformer.step(n, text))
    return text.stream


@pytest.mark.parametrize("kind", ["SwinModel", "SwinForImageClassification"])
@torch.no_grad()
def test_a_saved_swin_answers_in_the_tower_as_in_transformers(tmp_path: Path, kind: str) -> None:
    theirs, fiber = swin(kind), Fiber(SMALL).eval()
    theirs.save_pretrained(tmp_path)
    load_swin(tmp_path, fiber.vit_model)
    images = sample(SMALL)["images"][:, 0].float()
    wanted = getattr(theirs, "swin", theirs)(images).last_hidden_state
    assert difference(pixels(fiber, images), wanted) < 1e-5
    assert fiber.vit_model.layers[3].blocks[0].attn.alpha_i2t.tolist() == [0.0]


@pytest.mark.parametrize("kind", ["RobertaModel", "RobertaForMaskedLM"])
@torch.no_grad()
def test_a_saved_roberta_answers_in_the_tower_as_in_transformers(tmp_path: Path, kind: str) -> None:
    theirs, fiber = roberta(kind), Fiber(SMALL).eval()
    theirs.save_pretrained(tmp_path)
    load_roberta(tmp_path, fiber.text_transformer)
    ids = sample(SMALL)["sentence"]
    inner = getattr(theirs, "roberta", theirs)
    wanted, real = inner(ids, attention_mask=(ids != 1).long()).last_hidden_state, ids != 1
    assert difference(tokens(fiber, ids)[real], wanted[real]) < 1e-5


def test_the_names_are_fibers(tmp_path: Path) -> None:
    fiber = Fiber(SMALL)
    for network, renamed, own in (
        (swin("SwinModel"), swin_to_fiber, fiber.vit_model.state_dict()),
        (roberta("RobertaModel"), without_buffers, fiber.text_transformer.state_dict()),
    ):
        network.save_pretrained(tmp_path)
        saved = load_file(tmp_path / "model.safetensors")
        assert renamed(saved).keys() == {name for name in own if "i2t" not in name and "t2i" not in name}
        assert sum(t.numel() for t in renamed(saved).values()) == sum(
            t.numel() for name, t in saved.items() if "position_i" not in name
        )


def test_an_older_folder_and_one_in_several_files_are_read_too(tmp_path: Path) -> None:
    network, fiber = roberta("RobertaModel"), Fiber(SMALL)
    state = network.state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    load_roberta(tmp_path, fiber.text_transformer)
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    several = tmp_path / "several"
    several.mkdir()
    for file, part in parts.items():
        save_file({name: 2 * state[name] for name in part}, several / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (several / "model.safetensors.index.json").write_text(json.dumps(index))
    twice = Fiber(SMALL)
    load_roberta(several, twice.text_transformer)
    for name in names:
        torch.testing.assert_close(
            twice.text_transformer.state_dict()[name], 2 * fiber.text_transformer.state_dict()[name]
        )


def test_a_swin_of_another_resolution_is_fitted(tmp_path: Path) -> None:
    swin("SwinModel").save_pretrained(tmp_path)
    fiber = Fiber(at_side(SMALL, 160))
    load_swin(tmp_path, fiber.vit_model)
    assert fiber.vit_model.layers[0].blocks[0].attn.relative_position_bias_table.shape == (81, 1)


def test_a_folder_without_weights_or_with_another_network_is_refused_in_a_sentence(tmp_path: Path) -> None:
    fiber = Fiber(SMALL)
    with pytest.raises(CheckpointError) as caught:
        load_swin(tmp_path, fiber.vit_model)
    assert str(caught.value) == (
        f"{tmp_path}: holds no weights of a Swin; put the config.json and model.safetensors of a Swin there; "
        "nothing is downloaded"
    )
    roberta("RobertaModel").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks layers\.0\.blocks.* more; build the backbone"):
        load_swin(tmp_path, fiber.vit_model)
