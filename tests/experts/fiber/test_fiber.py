"""FIBER has the layout of its checkpoint, and computes what its equations say."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.attention import StochasticDepth, joined, windows
from knee_i2m2.experts.fiber.fiber import BASE, TINY, Fiber, FiberSize
from knee_i2m2.experts.fiber.image import SwinSize
from knee_i2m2.experts.fiber.text import RobertaSize
from tests.experts.fiber import reference
from tests.experts.fiber.reference import SMALL, difference, roused, sample

HEADS = ("temp", "mlm_score.", "itm_score.", "rank_output.")
BUFFERS = ("relative_position_index", "attn_mask", "position_ids")
WRONG = ["last norm kept", "sequential", "no shift", "merge order", "transposed bias", "no text mask"]


@pytest.fixture(scope="module")
def fiber() -> Fiber:
    return roused(Fiber(SMALL))


@pytest.fixture(scope="module")
def x() -> dict[str, Tensor]:
    return sample(SMALL)


@pytest.fixture(scope="module")
def joint(fiber: Fiber, x: dict[str, Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return tuple(fiber.joint(x["images"][:, 0], x["sentence"]))


def tiny_inputs(batch: int = 3) -> tuple[Tensor, Tensor]:
    x = sample(TINY, batch, pictures=1)
    return x["images"][:, 0].float(), x["sentence"]


def test_the_full_size_has_the_names_and_shapes_of_the_checkpoint_and_nothing_else(shared_data: Path) -> None:
    file = reference.layout(shared_data.parent / "facts" / "fiber_checkpoint_keys.json")
    assert len(file) == 722
    with torch.device("meta"):
        full = Fiber(BASE)
    loaded = {name: shape for name, shape in file.items() if not name.endswith(BUFFERS) and "queue" not in name}
    heads = {name: shape for name, shape in loaded.items() if name.startswith(HEADS)}
    assert len(heads) == 11
    own = {name: tuple(t.shape) for name, t in full.state_dict().items()}
    assert own == {name: shape for name, shape in loaded.items() if name not in heads}
    parameters = sum(p.numel() for p in full.parameters()) + sum(math.prod(shape) for shape in heads.values())
    assert parameters == 281_897_191


def test_the_masks_and_position_tables_of_the_full_size_have_the_checkpoint_s_shapes(shared_data: Path) -> None:
    file = reference.layout(shared_data.parent / "facts" / "fiber_checkpoint_keys.json")
    with torch.device("meta"):
        buffers = {name: tuple(t.shape) for name, t in Fiber(BASE).vit_model.named_buffers()}
    for name, shape in file.items():
        if name.endswith("relative_position_index"):
            assert buffers[name.removeprefix("vit_model.")] == shape
        if name.endswith("attn_mask"):
            assert buffers[name.removeprefix("vit_model.").replace("attn_mask", "attn.attn_mask")] == shape


def test_the_joint_pass_is_that_of_the_equations(fiber: Fiber, x: dict[str, Tensor], joint: tuple[Tensor, ...]) -> None:
    wanted = reference.joint(fiber.state_dict(), SMALL, x["images"][:, 0], x["sentence"])
    for own, other in zip(joint, wanted, strict=True):
        assert own.shape == other.shape
        assert difference(own, other) < 1e-10


def test_the_passes_over_one_modality_are_those_of_the_equations(fiber: Fiber, x: dict[str, Tensor]) -> None:
    state = fiber.state_dict()
    pairs = [
        (fiber.image(x["images"][:, 0]), reference.image(state, SMALL, x["images"][:, 0])),
        (fiber.text(x["sentence"]), reference.text(state, SMALL, x["sentence"])),
    ]
    for own, wanted in pairs:
        assert all(difference(a, b) < 1e-10 for a, b in zip(own, wanted, strict=True))
        torch.testing.assert_close(own.pooled.norm(dim=-1), torch.ones(2).double())


def test_single_precision_is_close_to_the_equations(x: dict[str, Tensor], joint: tuple[Tensor, ...]) -> None:
    single = roused(Fiber(SMALL)).float()
    own = single.joint(x["images"][:, 0].float(), x["sentence"])
    assert all(difference(a.double(), b) < 1e-4 for a, b in zip(own, joint, strict=True))


@pytest.mark.parametrize("wrong", [*WRONG, "tanh GELU"])
def test_the_comparison_notices_a_mistake(fiber: Fiber, x: dict[str, Tensor], joint: tuple, wrong: str) -> None:
    mistaken = reference.joint(fiber.state_dict(), SMALL, x["images"][:, 0], x["sentence"], wrong)
    differs = max(difference(a, b) for a, b in zip(mistaken, joint, strict=True))
    assert differs > (1e-4 if wrong == "tanh GELU" else 1e-3)


def test_with_closed_gates_the_joint_streams_are_the_unimodal_ones_before_the_last_norms(x: dict[str, Tensor]) -> None:
    closed = roused(Fiber(SMALL))
    for name, parameter in closed.named_parameters():
        parameter.data *= "alpha" not in name
    images, tokens = x["images"][:, 0], x["sentence"]
    streams: dict[str, list[Tensor]] = {"image": [], "text": []}
    closed.cross_modal_image_transform.register_forward_hook(lambda m, given, _: streams["image"].append(given[0]))
    closed.cross_modal_text_transform.register_forward_hook(lambda m, given, _: streams["text"].append(given[0]))
    closed.cross_modal_image_transform_itc.register_forward_hook(lambda m, given, _: streams["image"].append(given[0]))
    closed.cross_modal_text_transform_itc.register_forward_hook(lambda m, given, _: streams["text"].append(given[0]))
    closed.joint(images, tokens), closed.image(images), closed.text(tokens)
    last = closed.text_transformer.layers[-1].output.LayerNorm
    for (together, alone), norm in zip(streams.values(), (closed.vit_model.norm, last), strict=True):
        torch.testing.assert_close(norm(together), alone)
        assert difference(together, alone) > 1e-3


def test_the_gates_start_at_zero_or_where_they_are_told() -> None:
    for alpha in (0.0, 0.5):
        gates = [p for name, p in Fiber(dataclasses.replace(TINY, alpha=alpha)).named_parameters() if "alpha" in name]
        assert len(gates) == 2 * TINY.fused
        assert all(gate.tolist() == [alpha] for gate in gates)


def test_the_amount_of_padding_does_not_matter(fiber: Fiber, x: dict[str, Tensor], joint: tuple[Tensor, ...]) -> None:
    images, tokens = x["images"][:, 0], x["sentence"]
    padded = torch.cat([tokens, torch.ones(2, 3, dtype=torch.int64)], dim=1)
    torch.testing.assert_close(fiber.joint(images, padded).pooled, joint[2])
    torch.testing.assert_close(fiber.text(padded).pooled, fiber.text(tokens).pooled)


def test_a_pair_is_answered_as_it_is_alone(fiber: Fiber, x: dict[str, Tensor], joint: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(fiber.joint(x["images"][1:, 0], x["sentence"][1:]).pooled, joint[2][1:])


def test_the_gradient_reaches_what_a_pass_uses_and_nothing_else() -> None:
    images, tokens = tiny_inputs()
    for name, run in {
        "joint": lambda f: f.joint(images, tokens).pooled,
        "image": lambda f: f.image(images).pooled,
        "text": lambda f: f.text(tokens).pooled,
    }.items():
        fiber = Fiber(TINY)
        run(fiber).square().mean().backward()
        touched = {key for key, p in fiber.named_parameters() if p.grad is not None}
        assert touched == fiber.parameters_of([name])


def test_what_no_pass_uses_asks_for_no_gradient() -> None:
    fiber = Fiber(SMALL)
    unused = {name for name, p in fiber.named_parameters() if not p.requires_grad}
    norms = {
        f"encoder.layer.{n}.crossattention_t2i.output.LayerNorm.{p}" for n in range(1, 7) for p in ("weight", "bias")
    }
    others = {"pooler.dense.weight", "pooler.dense.bias", "encoder.layer.0.alpha_t2i"}
    assert unused == {f"text_transformer.{name}" for name in norms | others}
    assert unused | fiber.parameters_of(["joint", "image", "text"]) == set(dict(fiber.named_parameters()))


def test_blocks_that_are_computed_again_give_the_same_gradient() -> None:
    images, tokens = tiny_inputs()
    fiber, gradients = Fiber(dataclasses.replace(TINY, alpha=0.3)), []
    for recompute in (False, True):
        fiber.recompute = recompute
        fiber.zero_grad()
        loss = fiber.joint(images, tokens).pooled.sum() + fiber.image(images).pooled.sum()
        loss.backward()
        gradients.append({name: p.grad.clone() for name, p in fiber.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*gradients)


def test_half_precision_gives_about_the_same_features_and_a_gradient() -> None:
    (images, tokens), fiber = tiny_inputs(), Fiber(dataclasses.replace(TINY, alpha=0.3))
    wanted = fiber.joint(images, tokens).pooled
    with torch.autocast("cpu", torch.bfloat16):
        half = fiber.joint(images, tokens).pooled
    assert 0 < difference(half.float(), wanted) < 0.05
    half.float().square().mean().backward()
    assert all(fiber.get_parameter(name).grad.isfinite().all() for name in fiber.parameters_of(["joint"]))


def test_in_training_dropout_and_stochastic_depth_act_and_in_evaluation_they_rest() -> None:
    fiber, x = Fiber(SMALL), sample(SMALL)
    images, tokens = x["images"][:, 0].float(), x["sentence"]
    assert not torch.equal(fiber.text(tokens).pooled, fiber.text(tokens).pooled)
    torch.manual_seed(3)
    assert not torch.equal(fiber.image(images).pooled, fiber.image(images).pooled)
    fiber.eval()
    assert torch.equal(fiber.joint(images, tokens).pooled, fiber.joint(images, tokens).pooled)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    add, ones = StochasticDepth(0.25), torch.ones(4000, 2, 3)
    branch = add(0 * ones, ones)
    assert {round(v, 4) for v in branch.unique().tolist()} == {0.0, 1.3333}
    assert torch.equal(branch, branch[:, :1, :1].expand_as(branch))
    assert abs(branch.mean() - 1) < 0.03
    assert [block.add.rate for block in Fiber(SMALL).vit_model.layers[3].blocks][-1] == pytest.approx(0.1)


def test_windows_are_cut_and_joined_without_loss() -> None:
    x = torch.randn(2, 6, 6, 5)
    cut = windows(x, 3)
    torch.testing.assert_close(cut[:, 1], x[:, :3, 3:].flatten(1, 2))
    torch.testing.assert_close(joined(cut, 6), x)


def test_a_few_steps_lower_the_loss() -> None:
    fiber, head, y = Fiber(TINY), nn.Linear(2 * TINY.width, 2), torch.tensor([0, 1, 1, 0])
    images, tokens = tiny_inputs(4)
    optimiser = torch.optim.AdamW([*fiber.parameters(), *head.parameters()], lr=2e-3)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(head(fiber.joint(images, tokens).pooled), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_shapes_of_the_full_size_are_those_that_were_measured() -> None:
    assert BASE.image.window == 12
    assert [(s * s, w) for s, w in zip(BASE.image.sides, BASE.image.widths, strict=True)] == [
        (9216, 128),
        (2304, 256),
        (576, 512),
        (144, 1024),
    ]
    assert BASE.image_widths == (512, 512, 512, 512, 1024, 1024)
    assert BASE.image.places[-6:] == ((2, 14), (2, 15), (2, 16), (2, 17), (3, 0), (3, 1))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SwinSize(side=400), "image side 400: give a multiple of 32, such as 384"),
        (lambda: SwinSize(heads=(4, 8)), "4 stages and 2 numbers of heads: give one per stage"),
        (lambda: SwinSize(width=102), "4 heads do not divide 102 channels; give a divisor"),
        (lambda: RobertaSize(heads=7), "7 heads do not divide the text's width 768; give a divisor"),
        (lambda: FiberSize(fused=13), "13 fused pairs: give 1 to 12, the blocks of the shorter tower"),
        (lambda: FiberSize(fused=0), "0 fused pairs: give 1 to 12, the blocks of the shorter tower"),
    ],
)
def test_a_size_that_cannot_be_built_is_refused_in_a_sentence(make, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == sentence


def test_without_a_deviation_every_map_keeps_the_size_of_its_input() -> None:
    torch.manual_seed(0)
    fiber = Fiber(dataclasses.replace(TINY, image=dataclasses.replace(TINY.image, width=96)))
    for name, module in fiber.named_modules():
        if isinstance(module, nn.Linear) and module.weight.numel() > 10_000:
            assert float(module.weight.detach().std()) == pytest.approx(module.in_features**-0.5, rel=0.05), name
    table = torch.cat([p.flatten() for name, p in fiber.named_parameters() if "bias_table" in name])
    assert float(table.detach().std()) == pytest.approx(1, rel=0.15)


def test_inputs_that_do_not_fit_are_refused_in_a_sentence() -> None:
    fiber, (_, tokens) = Fiber(TINY), tiny_inputs()
    with pytest.raises(ValueError, match=r"^images of 64 pixels a side come to a tower built for 48$"):
        fiber.image(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match=r"^a text of 72 tokens comes to a tower of 64$"):
        fiber.text(tokens.repeat(1, 8))


def test_importing_the_backbone_does_not_import_transformers() -> None:
    code = "import sys, knee_i2m2.experts.pairs.nlvr2; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_transformers_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers.models.roberta.modeling_roberta", None)
    with pytest.raises(ConfigError, match=r"need the package transformers; install it with `pip install 'knee_i2m2"):
        Fiber(TINY)
