"""ViLT answers as `transformers` does, from a folder that it wrote, and what does not fit is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import ViltForImagesAndTextClassification, ViltForMaskedLM, ViltForQuestionAnswering

from knee_i2m2.errors import CheckpointError, ConfigError
from knee_i2m2.experts.pairs.vilt import JOINT, vilt_experts
from tests.experts.pairs import tiny_transformers as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vilt")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> ViltForImagesAndTextClassification:
    return tiny.vilt(folder)


def test_a_fine_tuned_folder_answers_as_its_authors_network(folder: Path, theirs) -> None:
    x = tiny.sample()
    mask = (x["sentence"] != 0).long()
    with torch.no_grad():
        said = theirs(input_ids=x["sentence"], attention_mask=mask, pixel_values=x["images"]).logits
        ours = vilt_experts(folder, [JOINT]).double().eval()(x)[JOINT]
    torch.testing.assert_close(ours, said, rtol=0, atol=1e-12)


def test_padding_changes_nothing_and_the_order_of_the_pictures_does(folder: Path, theirs) -> None:
    experts, x = vilt_experts(folder, [JOINT]).double().eval(), tiny.sample()
    with torch.no_grad():
        said = experts(x)[JOINT]
        padded = experts({**x, "sentence": torch.nn.functional.pad(x["sentence"], (0, 5))})[JOINT]
        swapped = experts({**x, "images": x["images"].flip(1)})[JOINT]
    torch.testing.assert_close(padded, said, rtol=0, atol=1e-10)
    assert (swapped - said).abs().max() > 1e-3


def test_a_pre_trained_folder_gets_a_head_and_a_type_for_the_second_picture(tmp_path: Path) -> None:
    config = tiny.vilt(tmp_path / "other").config
    config.modality_type_vocab_size, config.tie_word_embeddings = 2, False
    tiny.saved(ViltForMaskedLM(config), tmp_path / "pretrained")
    experts = vilt_experts(tmp_path / "pretrained", [JOINT]).double().eval()
    types = experts.encoders.vilt.embeddings.token_type_embeddings.weight
    assert len(types) == 3 and torch.equal(types[1], types[2]) and not torch.equal(types[0], types[1])
    assert types.requires_grad
    x = tiny.sample()
    said = experts(x)[JOINT]
    assert said.shape == (3, 2)
    same = {**x, "images": x["images"][:, :1].expand(-1, 2, -1, -1, -1)}
    halves = experts.encoders(same, [JOINT])[JOINT].chunk(2, dim=1)
    torch.testing.assert_close(*halves, rtol=0, atol=1e-10)  # until the second type learns


def test_copies_have_heads_of_their_own_on_one_network(folder: Path, theirs) -> None:
    experts = vilt_experts(folder, [JOINT, f"{JOINT}.2"]).double().eval()
    one, other = experts(tiny.sample()).values()
    assert (one - other).abs().max() > 1e-3
    assert sum(name.startswith("encoders.vilt.embeddings.cls_token") for name in experts.state_dict()) == 1


@pytest.mark.parametrize("name", ["images", "sentence"])
def test_experts_on_one_modality_are_refused(folder: Path, theirs, name: str) -> None:
    with pytest.raises(ConfigError, match="ViLT reads pictures and sentence together only"):
        vilt_experts(folder, [name])


def test_missing_and_foreign_files_are_sentences(folder: Path, theirs, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config.json; put config.json and model.safetensors of a vilt"):
        vilt_experts(tmp_path / "gone", [JOINT])
    tiny.bert(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="holds a network of type bert"):
        vilt_experts(tmp_path / "bert", [JOINT])
    shutil.copytree(folder, tmp_path / "empty")
    (tmp_path / "empty/model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights that can be read"):
        vilt_experts(tmp_path / "empty", [JOINT])
    shutil.copytree(folder, tmp_path / "cut")
    (tmp_path / "cut/model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="holds no weights that can be read"):
        vilt_experts(tmp_path / "cut", [JOINT])
    shutil.copytree(folder, tmp_path / "damaged")
    (tmp_path / "damaged/config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is no JSON"):
        vilt_experts(tmp_path / "damaged", [JOINT])


def test_weights_that_are_missing_or_left_over_are_named(folder: Path, theirs, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for change, sentence in (
        (lambda w: w.pop("vilt.pooler.dense.weight"), "lacks vilt.pooler.dense.weight"),
        (lambda w: w.update({"vilt.extra.weight": torch.zeros(1)}), "vilt.extra.weight"),
    ):
        changed, place = dict(weights), tmp_path / sentence[:5]
        change(changed)
        shutil.copytree(folder, place)
        save_file(changed, place / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=sentence):
            vilt_experts(place, [JOINT])


def test_layers_computed_again_give_the_same_gradient(folder: Path, theirs) -> None:
    names, gradients = [JOINT], []
    for recompute in (False, True):
        torch.manual_seed(0)
        experts = vilt_experts(folder, names, recompute=recompute).double().train()
        sum(z.square().sum() for z in experts(tiny.sample()).values()).backward()
        gradients.append({name: p.grad for name, p in experts.named_parameters() if p.grad is not None})
    assert len(gradients[0]) > 20
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-10, msg=name)


def test_the_head_is_new_where_the_folder_has_another(folder: Path, theirs, tmp_path: Path) -> None:
    config = tiny.vilt(tmp_path / "other").config
    config.num_labels = 5
    asked = tiny.saved(ViltForQuestionAnswering(config), tmp_path / "asked")
    experts = vilt_experts(tmp_path / "asked", [JOINT]).double().eval()
    assert torch.equal(experts.encoders.vilt.pooler.dense.weight, asked.vilt.pooler.dense.weight)
    assert experts(tiny.sample())[JOINT].shape == (3, 2)
    assert vilt_experts(folder, [JOINT], classes=3).double()(tiny.sample())[JOINT].shape == (3, 3)
    assert vilt_experts(folder, [JOINT], pictures=1).double()(tiny.sample(pictures=1))[JOINT].shape == (3, 2)


def test_nothing_of_the_folder_s_head_is_in_a_new_one(folder: Path, theirs) -> None:
    held, other = vilt_experts(folder, [JOINT, f"{JOINT}.2"]).double().heads.values()
    torch.testing.assert_close(held.state_dict(), theirs.classifier.state_dict())
    assert torch.equal(other[1].weight, torch.ones_like(other[1].weight)) and not other[1].bias.any()
    assert not torch.equal(held[1].weight, other[1].weight)


def test_every_parameter_learns(folder: Path, theirs) -> None:
    experts = vilt_experts(folder, [JOINT, f"{JOINT}.2"]).double().train()
    sum(z.square().sum() for z in experts(tiny.sample()).values()).backward()
    assert [name for name, p in experts.named_parameters() if p.grad is None] == []


def test_a_text_of_more_tokens_than_vilt_has_places_is_refused(folder: Path, theirs) -> None:
    x = tiny.sample()
    with pytest.raises(ConfigError, match="a text of 41 tokens comes to a ViLT that reads 40; give --longest 40"):
        vilt_experts(folder, [JOINT]).double()({**x, "sentence": torch.ones(3, 41, dtype=torch.long)})
