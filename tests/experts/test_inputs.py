import pytest
import torch

from knee_i2m2.experts.fiber_attention import PADDING
from knee_i2m2.experts.inputs import normalised, vocabulary_of

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
