"""Pictures, words and tokens are what the backbones were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.attention import PADDING
from knee_i2m2.experts.pairs.inputs import Colours, local_colours, local_tokeniser, normalised, vocabulary_of
from tests.experts.pairs import tiny_transformers as tiny

SENTENCES = ["There is a red circle.", "There is no circle!", "a RED square"]


def test_pictures_are_normalised_channel_by_channel() -> None:
    pictures = torch.rand(2, 3, 3, 4, 5, dtype=torch.float64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for channel in range(3):
        expected = (pictures[:, :, channel] - mean[channel].double()) / deviation[channel].double()
        torch.testing.assert_close(normalised(pictures)[:, :, channel], expected, rtol=1e-6, atol=1e-6)


def test_words_stand_in_the_order_of_their_count_then_of_the_alphabet() -> None:
    vocabulary = vocabulary_of(SENTENCES)
    assert vocabulary.words[:5] == ("a", "circle", "is", "red", "there")
    assert len(vocabulary) == 4 + len(vocabulary.words)
    assert vocabulary_of(SENTENCES, least=2).words == ("a", "circle", "is", "red", "there")


def test_tokens_begin_end_and_are_padded() -> None:
    vocabulary = vocabulary_of(SENTENCES)
    tokens = vocabulary(SENTENCES, 50)
    assert tokens.shape == (3, 8)
    assert (tokens[:, 0] == 0).all()
    place = {word: 4 + n for n, word in enumerate(vocabulary.words)}
    assert tokens[2].tolist() == [0, place["a"], place["red"], place["square"], 2, *[PADDING] * 3]


def test_a_word_that_was_never_seen_is_unknown_and_long_texts_are_cut() -> None:
    vocabulary = vocabulary_of(SENTENCES)
    assert vocabulary(["purple circle"], 50)[0].tolist() == [0, 3, 5, 2]
    assert vocabulary(["red " * 60], 10).shape == (1, 10)
    assert vocabulary(["red " * 60], 10)[0, -1] == 2


@pytest.mark.parametrize("sentence", ["", "…"])
def test_next_to_nothing_said_is_still_a_text(sentence: str) -> None:
    assert vocabulary_of(SENTENCES)([sentence], 50)[0, 0] == 0


def test_colours_are_those_that_a_folder_names_or_the_backbone_s_own(tmp_path: Path) -> None:
    own = Colours((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert local_colours(tmp_path, own) == own
    said = tmp_path / "preprocessor_config.json"
    said.write_text('{"size": 384}')
    assert local_colours(tmp_path, own) == own
    said.write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 4]}')
    found = local_colours(tmp_path, own)
    assert found == Colours((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    grey = normalised(torch.full((3, 1, 1), 0.5, dtype=torch.float64), found)
    torch.testing.assert_close(grey.flatten(), torch.tensor([0.4, 0.15, 0.05], dtype=torch.float64), rtol=0, atol=1e-7)
    said.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        local_colours(tmp_path, own)


def test_a_tokeniser_is_read_from_its_folder_and_must_be_the_network_s(tmp_path: Path) -> None:
    tiny.bert(tmp_path / "bert")
    tokenise = local_tokeniser(tmp_path / "bert", padding=0)
    tokens = tokenise(["the left circle", "a"], 50)
    words = [tiny.WORDS[i] for i in tokens[0].tolist()]
    assert words == ["[CLS]", "the", "left", "circle", "[SEP]"]
    assert tokens[1].tolist()[2:] == [tiny.WORDS.index("[SEP]"), 0, 0]
    assert tokenise(["the left circle"], 3).shape == (1, 3) and len(tokenise) == len(tiny.WORDS)
    with pytest.raises(CheckpointError, match="is another network's tokeniser: its padding is 0, not 1"):
        local_tokeniser(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="there is no folder of a tokeniser"):
        local_tokeniser(tmp_path / "gone")


TEXTS = [
    "",
    "one",
    "one two three",
    "Left, right! (and) so-on…",
    "antidisestablishmentarianism",
    "a " * 60,
    "word. " * 300,
    "ein Öl",
]


@pytest.mark.parametrize("longest", [3, 5, 6, 8, 40])
@pytest.mark.parametrize("kind", ["vocabulary", "bert"])
def test_a_text_is_cut_where_it_is_longer_than_allowed_and_nowhere_else(
    kind: str, longest: int, tmp_path: Path
) -> None:
    tokenise, padding = vocabulary_of(TEXTS), PADDING
    if kind == "bert":
        tiny.bert(tmp_path)
        tokenise, padding = local_tokeniser(tmp_path, 0), 0
    lengths, whole = tokenise.lengths(TEXTS), tokenise(TEXTS, 10_000)
    assert lengths.tolist() == [(row != padding).sum().item() for row in whole]
    for length, row, text in zip(lengths, whole, TEXTS, strict=True):
        same = tokenise([text], longest)[0].tolist() == row[:length].tolist()
        assert same is bool(length <= longest)
