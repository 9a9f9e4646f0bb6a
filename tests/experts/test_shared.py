"""Shared experts: every encoding is made once, and each head reads what its expert may see."""

from __future__ import annotations

import doctest
from collections.abc import Collection

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2.experts import shared
from knee_i2m2.experts.shared import Concatenated, Encoders, Shared

NAMES = ("image", "audio", "image+audio", "image+audio.2")


class Counting(nn.Module):
    """A linear encoder that counts its calls."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(4, features), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x)


def late(names: tuple[str, ...] = NAMES) -> Shared:
    """Experts on two encoders, the joint ones by concatenation."""
    encoders = Encoders({"image": Counting(3), "audio": Counting(5)})
    features = {"image": 3, "audio": 5}
    return Shared(
        encoders, {n: nn.Linear(features[n], 2) if n in features else Concatenated(nn.Linear(8, 2)) for n in names}
    )


def x(batch: int = 6) -> dict[str, Tensor]:
    return {name: torch.randn(batch, 4) for name in ("audio", "image")}


def test_every_expert_answers_and_every_encoder_has_run_once() -> None:
    experts = late()
    opinions = experts(x())
    assert tuple(opinions) == NAMES
    assert {z.shape for z in opinions.values()} == {(6, 2)}
    assert [experts.encoders[m].calls for m in ("image", "audio")] == [1, 1]


def test_the_heads_read_the_encodings_in_the_order_of_the_name() -> None:
    experts, given = late(), x()
    z = [experts.encoders[m](given[m]) for m in ("image", "audio")]
    opinions = experts(given)
    torch.testing.assert_close(opinions["image+audio"], experts.head("image+audio").head(torch.cat(z, dim=1)))
    torch.testing.assert_close(opinions["audio"], experts.head("audio")(z[1]))
    assert experts.sees["image+audio.2"] == {"image", "audio"}


def test_a_missing_modality_silences_its_experts_and_spares_its_encoder() -> None:
    experts, given = late(), x()
    alone = experts({"audio": given["audio"]})
    assert tuple(alone) == ("audio",)
    assert [experts.encoders[m].calls for m in ("image", "audio")] == [0, 1]
    torch.testing.assert_close(alone["audio"], experts(given)["audio"])
    with pytest.raises(ValueError, match=r"^no expert of image can answer from audio$"):
        late(("image",))({"audio": given["audio"]})


def test_only_what_is_read_is_encoded() -> None:
    experts = late(("image",))
    experts(x())
    assert [experts.encoders[m].calls for m in ("image", "audio")] == [1, 0]


def test_a_unimodal_loss_reaches_the_encoder_that_the_joint_expert_reads() -> None:
    experts = late()
    experts(x())["image"].sum().backward()
    touched = {name for name, p in experts.named_parameters() if p.grad is not None}
    assert touched == {f"{part}.{p}" for part in ("encoders.image.linear", "heads.image") for p in ("weight", "bias")}


def test_an_encoding_of_the_expert_s_own_name_comes_before_those_of_its_modalities() -> None:
    class Both(nn.Module):
        def forward(self, image: Tensor, audio: Tensor) -> Tensor:
            return image * audio

    encoders = Encoders({"image": nn.Identity(), "image+audio": Both()})
    experts, given = Shared(encoders, {"image": nn.Identity(), "image+audio.3": nn.Identity()}), x()
    torch.testing.assert_close(experts(given)["image+audio.3"], given["image"] * given["audio"])
    assert experts.reads == {"image": ("image",), "image+audio.3": ("image+audio",)}


def test_one_backbone_may_make_all_encodings() -> None:
    class Backbone(nn.Module):
        names = ("image", "image+audio")
        asked: tuple = ()

        def forward(self, x: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
            self.asked = tuple(wanted)
            return {name: x["image"] + len(name) for name in wanted}

    experts = Shared(Backbone(), {name: nn.Identity() for name in ("image+audio", "image", "image+audio.2")})
    experts(x())
    assert experts.encoders.asked == ("image+audio", "image")


def test_copies_have_heads_of_their_own_and_all_is_saved_once() -> None:
    experts = late()
    assert set(experts.heads) == {"image", "audio", "image+audio", "image+audio#2"}
    assert len(experts.state_dict()) == len(list(experts.parameters())) == 12
    again = late()
    again.load_state_dict(experts.state_dict())
    given = x()
    torch.testing.assert_close(dict(again(given)), dict(experts(given)))


def test_frozen_encoders_learn_nothing_and_stay_in_evaluation_mode() -> None:
    experts = late()
    experts.freeze()
    assert not experts.train().encoders.training and experts.heads.training
    sum(z.sum() for z in experts(x()).values()).backward()
    assert all(p.grad is None for p in experts.encoders.parameters())
    assert all(p.grad is not None for p in experts.heads.parameters())
    assert not experts.eval().heads.training


def test_a_head_that_has_nothing_to_read_is_refused_in_a_sentence() -> None:
    sentence = r"^expert image\+text: there is an encoding of image, audio, and none that it could read$"
    with pytest.raises(ValueError, match=sentence):
        Shared(Encoders({"image": nn.Identity(), "audio": nn.Identity()}), {"image+text": nn.Identity()})


def test_the_example_of_the_documentation_runs() -> None:
    assert doctest.testmod(shared) == (0, 2)
