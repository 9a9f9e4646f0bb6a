"""FLAVA's three experts see what its own model computes, from a folder that `transformers` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import FlavaConfig, FlavaForPreTraining, FlavaModel

from knee_i2m2.errors import CheckpointError, ConfigError
from knee_i2m2.experts.pairs.flava import flava_experts
from tests.experts.pairs import tiny_transformers as tiny

NAMES = ("images", "sentence", "images+sentence")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flava")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> FlavaModel:
    return tiny.flava(folder)


def test_the_encodings_are_those_of_the_model_itself(folder: Path, theirs: FlavaModel) -> None:
    x, experts = tiny.sample(), flava_experts(folder, NAMES).double().eval()
    mask = (x["sentence"] != 0).long()
    with torch.no_grad():
        found = experts.encoders(x, NAMES)
        told = [theirs(input_ids=x["sentence"], attention_mask=mask, pixel_values=p) for p in x["images"].unbind(1)]
    expected = {
        "images": torch.cat([t.image_embeddings[:, 0] for t in told], dim=1),
        "sentence": told[0].text_embeddings[:, 0],
        "images+sentence": torch.cat([t.multimodal_embeddings[:, 0] for t in told], dim=1),
    }
    assert found.keys() == expected.keys()
    for name, encoding in found.items():
        torch.testing.assert_close(encoding, expected[name], rtol=0, atol=1e-12, msg=name)


def test_a_modality_s_encoder_runs_once_for_all_experts(folder: Path, theirs: FlavaModel) -> None:
    experts, calls = flava_experts(folder, NAMES).double().eval(), []
    for part in ("image_model", "text_model", "multimodal_model"):
        getattr(experts.encoders.flava, part).register_forward_hook(lambda *_, part=part: calls.append(part))
    assert experts(tiny.sample()).keys() == set(NAMES)
    assert sorted(calls) == ["image_model", "multimodal_model", "text_model"]


def test_an_expert_answers_from_its_own_modality_alone(folder: Path, theirs: FlavaModel) -> None:
    experts, x = flava_experts(folder, NAMES).double().eval(), tiny.sample()
    for name in ("images", "sentence"):
        alone = experts({name: x[name]})
        assert set(alone) == {name}
        torch.testing.assert_close(alone[name], experts(x)[name])


@pytest.mark.parametrize("names", [("images",), ("sentence",), ("images", "sentence"), ("images+sentence",), NAMES])
def test_what_gets_a_gradient_is_what_learns(folder: Path, theirs: FlavaModel, names: tuple[str, ...]) -> None:
    experts = flava_experts(folder, names).double().train()
    sum(z.square().sum() for z in experts(tiny.sample()).values()).backward()
    for name, parameter in experts.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_unknown_experts_and_missing_files_are_sentences(folder: Path, theirs: FlavaModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean images"):
        flava_experts(folder, ["image"])
    with pytest.raises(CheckpointError, match=r"has no config.json; put config.json and model.safetensors of a flava"):
        flava_experts(tmp_path, NAMES)


def test_layers_computed_again_give_the_same_gradient(folder: Path, theirs) -> None:
    names, gradients = NAMES, []
    for recompute in (False, True):
        torch.manual_seed(0)
        experts = flava_experts(folder, names, recompute=recompute).double().train()
        sum(z.square().sum() for z in experts(tiny.sample()).values()).backward()
        gradients.append({name: p.grad for name, p in experts.named_parameters() if p.grad is not None})
    assert len(gradients[0]) > 20
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-10, msg=name)


def test_a_folder_of_the_pre_training_serves_too(theirs: FlavaModel, tmp_path: Path) -> None:
    codebook = {"hidden_size": 8, "num_groups": 1, "num_blocks_per_group": 1, "vocab_size": 16}
    whole = FlavaForPreTraining(FlavaConfig(**{**theirs.config.to_dict(), "image_codebook_config": codebook}))
    same_as(tiny.saved(whole, tmp_path).flava, tmp_path)


def test_encoders_of_other_widths_and_without_a_first_token_serve_too(theirs: FlavaModel, tmp_path: Path) -> None:
    config = theirs.config.to_dict()
    config["multimodal_config"].update(hidden_size=48, use_cls_token=False)
    same_as(tiny.saved(FlavaModel(FlavaConfig(**{**config, "hidden_size": 30})), tmp_path), tmp_path)


def same_as(theirs: FlavaModel, folder: Path) -> None:
    """Checks the encodings of a folder against the model's, and that they are answered from."""
    x, experts = tiny.sample(), flava_experts(folder, NAMES).double().eval()
    mask = (x["sentence"] != 0).long()
    with torch.no_grad():
        told = [theirs(input_ids=x["sentence"], attention_mask=mask, pixel_values=p) for p in x["images"].unbind(1)]
        found = experts.encoders(x, NAMES)
        assert {z.shape for z in experts(x).values()} == {(3, 2)}
    both = torch.cat([t.multimodal_embeddings[:, 0] for t in told], dim=1)
    torch.testing.assert_close(found["images+sentence"], both, rtol=0, atol=1e-12)
    torch.testing.assert_close(found["sentence"], told[0].text_embeddings[:, 0], rtol=0, atol=1e-12)
