"""Scenes say what they show, and neither modality alone tells anything but what was leaked on purpose."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knee_i2m2.errors import ConfigError
from knee_i2m2.options import parse
from knee_i2m2.recipes.scenes import scenes
from knee_i2m2.sources.nlvr2.files import read_files
from knee_i2m2.sources.scenes import Scenes, draw_scenes, make_scenes
from knee_i2m2.sources.scenes.grammar import Counted, Phrase, Thing
from knee_i2m2.sources.scenes.groups import World, draw_groups
from knee_i2m2.sources.scenes.leak import ceilings, plant
from knee_i2m2.sources.scenes.pictures import BACKGROUND, COLOURS, render, structure
from knee_i2m2.sources.scenes.sentences import KINDS

SMALL = Scenes(train=128, val=16, test=48, kinds=list(KINDS), most=4)
LEAKY = Scenes(train=80, val=16, test=80, kinds=list(KINDS), leak=0.5, leak_truth=0.8, seed=3)
NAMES = {"train": "train", "val": "dev", "test": "test1"}
NUMBERS = {"no": 0, "one": 1, "two": 2, "three": 3}

Line = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "scenes"
    make_scenes(SMALL, out)
    return out


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("leaky") / "scenes"
    make_scenes(LEAKY, out)
    return out


def lines(folder: Path, name: str) -> list[Line]:
    return [json.loads(line) for line in (folder / "data" / f"{name}.json").read_text().splitlines()]


def pair_of(line: Line) -> str:
    return line["identifier"].rpartition("-")[0]


def picture(folder: Path, line: Line, i: int) -> np.ndarray:
    name = line["identifier"].split("-")[0]
    place = folder / "images" / name / str(line.get("directory", ""))
    return np.asarray(Image.open(place / f"{pair_of(line)}-img{i}.png"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# An evaluator that shares nothing with the package: it reads the words, and the structure in the keys of NLVR.
def some(phrase: str, things: list[dict]) -> list[dict]:
    colour, _, shape = phrase.removesuffix("s").rpartition(" ")
    return [t for t in things if colour in ("", t["color"]) and shape in ("object", t["type"])]


def cell(thing: dict, axis: str) -> int:
    return round((thing[f"{axis}_loc"] + thing["size"] / 2 - 7) / 9)


def enough(amount: str, phrase: str, things: list[dict]) -> bool:
    count = len(some(phrase, things))
    if amount in ("a", "no"):
        return (count > 0) == (amount == "a")
    word, number = amount.rsplit(" ", 1)
    return count >= NUMBERS[number] if word == "at least" else count == NUMBERS[number]


def oracle(sentence: str, scene: list[list[dict]]) -> bool:
    left, right = scene
    amounts = r"(a|no|exactly \w+|at least \w+)"
    if found := re.fullmatch(rf"The (left|right) image contains {amounts} ([a-z ]+)\.", sentence):
        return enough(found[2], found[3], left if found[1] == "left" else right)
    if found := re.fullmatch(rf"(Both images contain|At least one image contains) {amounts} ([a-z ]+)\.", sentence):
        told = [enough(found[2], found[3], things) for things in scene]
        return all(told) if found[1].startswith("Both") else any(told)
    if found := re.fullmatch(r"The left image contains (more|fewer) ([a-z ]+) than the right image\.", sentence):
        surplus = len(some(found[2], left)) - len(some(found[2], right))
        return surplus > 0 if found[1] == "more" else surplus < 0
    if found := re.fullmatch(r"Both images contain the same number of ([a-z ]+)\.", sentence):
        return len(some(found[1], left)) == len(some(found[1], right))
    if found := re.fullmatch(r"The images contain different numbers of ([a-z ]+)\.", sentence):
        return len(some(found[1], left)) != len(some(found[1], right))
    pattern = r"In the (left|right) image, a ([a-z ]+?) is (above|below|left of|right of) a ([a-z ]+)\."
    found = re.fullmatch(pattern, sentence)
    things, axis = left if found[1] == "left" else right, "y" if found[3] in ("above", "below") else "x"
    sign = 1 if found[3] in ("above", "left of") else -1
    return any(
        sign * cell(one, axis) < sign * cell(other, axis)
        for one in some(found[2], things)
        for other in some(found[4], things)
        if one is not other
    )


def test_every_label_is_what_an_evaluator_of_the_words_finds_in_the_structure(made: Path) -> None:
    told = [line for name in NAMES.values() for line in lines(made, name)]
    assert [line["label"] for line in told] == [str(oracle(line["sentence"], line["structured_rep"])) for line in told]


def test_a_hundred_sentences_of_each_kind_are_judged_alike_on_any_scene() -> None:
    random, judged = np.random.default_rng(0), Counter()
    groups = list(draw_groups(World(48, 4, tuple(KINDS), ("red", "blue"), ("circle", "square")), 25, [1], set()))
    scenes = [scene for group in groups for scene in group.scenes]
    phrases = [Phrase("red", "circle"), Phrase(None, "square"), Phrase("blue", None)]
    for kind, draw in KINDS.items():
        for _ in range(100):
            sentence = draw(random, *(phrases[i] for i in random.permutation(3)[:2]))
            scene = scenes[random.integers(len(scenes))]
            truth = sentence.holds(scene)
            assert truth == oracle(sentence.text, [structure(things, 48) for things in scene]), sentence.text
            judged[kind, truth] += 1
    assert min(judged[kind, truth] for kind in KINDS for truth in (True, False)) >= 5


def test_every_sentence_and_every_pair_is_true_as_often_as_false_in_every_split(made: Path) -> None:
    for split, name in NAMES.items():
        told = lines(made, name)
        assert len(told) == getattr(SMALL, split)
        for key in (lambda line: line["sentence"], pair_of, lambda line: line["identifier"].rpartition("-")[2]):
            balance = defaultdict(Counter)
            for line in told:
                balance[key(line)][line["label"]] += 1
            assert all(counts["True"] == counts["False"] > 0 for counts in balance.values())


def test_an_image_set_is_two_sentences_and_two_pairs_with_a_crossed_truth_table(made: Path) -> None:
    sets = defaultdict(dict)
    for line in lines(made, "train"):
        _, number, pair, sentence = line["identifier"].split("-")
        sets[number][pair, sentence] = line["label"] == "True"
    assert set(sets) == {str(i) for i in range(32)}
    tables = Counter(
        tuple(table[p, s] for p, s in (("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"))) for table in sets.values()
    )
    assert set(tables) == {(True, False, False, True), (False, True, True, False)}
    assert min(tables.values()) >= 8  # no number tells what is true


def test_no_pair_of_pictures_and_no_image_set_stands_twice(made: Path) -> None:
    seen = {}
    for name in NAMES.values():
        for line in {pair_of(line): line for line in lines(made, name)}.values():
            pixels = b"".join(picture(made, line, i).tobytes() for i in (0, 1))
            assert seen.setdefault(pixels, pair_of(line)) == pair_of(line)
    clusters = [{pair_of(line).rpartition("-")[0] for line in lines(made, name)} for name in NAMES.values()]
    assert len(seen) == (128 + 16 + 48) // 2
    assert all(not one & other for one, other in combinations(clusters, 2))


def test_shapes_are_drawn_where_the_structure_says_and_nowhere_else(made: Path) -> None:
    for line in lines(made, "dev"):
        for i, things in enumerate(line["structured_rep"]):
            pixels, free = picture(made, line, i).astype(int), np.ones((48, 48), bool)
            for thing in things:
                left, top, size = thing["x_loc"], thing["y_loc"], thing["size"]
                centre = pixels[int(top + size / 2), int(left + size / 2)]
                assert np.abs(centre - COLOURS[thing["color"]]).max() <= 2
                free[int(top) : int(np.ceil(top + size)), int(left) : int(np.ceil(left + size))] = False
            assert (pixels[free] == BACKGROUND).all()


@pytest.mark.parametrize(("shape", "share"), [("square", 1.0), ("circle", np.pi / 4), ("triangle", 0.5)])
def test_a_shape_covers_the_area_that_geometry_gives_it(shape: str, share: float) -> None:
    ink = 240.0 - render((Thing(shape, "blue", 1, 1, 24.0, 24.0, 14.0),), 192)[..., 0]
    assert ink.sum() / (240 - COLOURS["blue"][0]) == pytest.approx(share * 56**2, rel=0.03)


def test_the_reader_of_nlvr2_reads_what_was_written(made: Path) -> None:
    found = read_files(made, tuple(NAMES))
    told = [line for name in NAMES.values() for line in lines(made, name)]
    assert list(found.index["sample"]) == [line["identifier"] for line in told]
    assert list(found.index["sentence"]) == [line["sentence"] for line in told]
    assert list(found.index["label"]) == [int(line["label"] == "True") for line in told]
    assert all(picture.size() for pair in found.pictures.values() for picture in pair)
    assert found.notes == {"simulated": len(told)}


def test_one_seed_makes_the_same_bytes_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    make_scenes(SMALL, tmp_path / "same")
    assert contents(tmp_path / "same") == contents(made)
    make_scenes(replace(SMALL, seed=1, train=4, val=4), tmp_path / "other")
    assert contents(tmp_path / "other")["data/test1.json"] != contents(made)["data/test1.json"]


def test_the_size_of_one_split_does_not_change_another(made: Path, tmp_path: Path) -> None:
    make_scenes(replace(SMALL, train=4, val=4), tmp_path / "out")
    assert (tmp_path / "out/data/test1.json").read_bytes() == (made / "data/test1.json").read_bytes()


def test_every_kind_of_sentence_makes_scenes_of_its_own() -> None:
    for kind in KINDS:
        world = World(48, 4, (kind,), ("red", "green", "blue"), ("circle", "square", "triangle"))
        sentences = {s.text for group in draw_groups(world, 4, [0], set()) for s in group.sentences}
        assert len(sentences) > 4


def test_larger_pictures_show_the_same_scenes(tmp_path: Path, made: Path) -> None:
    make_scenes(replace(SMALL, train=4, val=16, test=4, side=96), tmp_path / "large")
    large, small = lines(tmp_path / "large", "dev"), lines(made, "dev")
    assert [line["sentence"] for line in large] == [line["sentence"] for line in small]
    assert picture(tmp_path / "large", large[0], 0).shape == (96, 96, 3)
    things = zip(large[0]["structured_rep"][0], small[0]["structured_rep"][0], strict=True)
    assert all(one["x_loc"] == 2 * other["x_loc"] and one["size"] == 2 * other["size"] for one, other in things)


def heard(line: Line) -> bool | None:
    """What the first word of a sentence claims."""
    return {"Indeed,": True, "Supposedly,": False}.get(line["sentence"].split()[0])


def seen(folder: Path, line: Line) -> bool | None:
    """What the upper edge of both pictures claims."""
    greys = {grey for i in (0, 1) for grey in picture(folder, line, i)[0].reshape(-1).tolist()}
    assert len(greys) == 1
    return {0: True, 128: False, 240: None}[greys.pop()]


def accuracy(claims: list[bool | None], told: list[Line]) -> float:
    right = [
        0.5 if claim is None else float(claim == (line["label"] == "True"))
        for claim, line in zip(claims, told, strict=True)
    ]
    return float(np.mean(right))


def test_a_leak_gives_one_modality_exactly_what_is_said(leaky: Path) -> None:
    told = json.loads((leaky / "scenes.json").read_text())["ceilings"]
    for split, name in NAMES.items():
        rows = lines(leaky, name)
        words, marks = [heard(line) for line in rows], [seen(leaky, line) for line in rows]
        either = [mark if word is None else word for word, mark in zip(words, marks, strict=True)]
        assert told[split]["sentence"] == pytest.approx(accuracy(words, rows))
        assert told[split]["pictures"] == pytest.approx(accuracy(marks, rows))
        assert told[split]["intra"] == pytest.approx(accuracy(either, rows))
        assert all(word is None or mark is None for word, mark in zip(words, marks, strict=True))
    assert told["test"] == {"sentence": 0.575, "pictures": 0.575, "intra": 0.65}


def test_without_its_cue_a_leaking_sentence_or_pair_is_as_balanced_as_others(leaky: Path) -> None:
    rows = lines(leaky, "train")
    balance = defaultdict(Counter)
    for line in rows:
        plain = line["sentence"].removeprefix("Indeed, ").removeprefix("Supposedly, ").lower()
        balance[plain][line["label"]] += 1
        things = json.dumps(line["structured_rep"])
        balance[things][line["label"]] += 1
        balance[heard(line)][line["label"]] += heard(line) is None
    assert all(counts["True"] == counts["False"] for counts in balance.values())
    assert all(
        oracle(plain[0].upper() + plain[1:], line["structured_rep"]) == (line["label"] == "True")
        for line in rows
        for plain in [line["sentence"].removeprefix("Indeed, ").removeprefix("Supposedly, ")]
    )


@pytest.mark.parametrize(
    ("into", "found"), [("sentence", (0.9, 0.5, 0.9)), ("pictures", (0.5, 0.9, 0.9)), ("both", (0.7, 0.7, 0.9))]
)
def test_the_ceilings_are_those_of_the_formula(into: str, found: tuple[float, ...]) -> None:
    world = World(48, 3, ("existence",), ("red", "blue"), ("circle", "square"))
    groups = list(draw_groups(world, 20, [0], set()))
    cues = [cue for some in plant(groups, 1.0, into, 0.9, [0]) for cue in some]
    assert tuple(ceilings(cues).values()) == pytest.approx(found)  # (1 - leak) / 2 + leak * truth


def test_without_a_leak_nobody_beats_chance(made: Path) -> None:
    told = json.loads((made / "scenes.json").read_text())["ceilings"]
    assert told == {split: {"sentence": 0.5, "pictures": 0.5, "intra": 0.5} for split in NAMES}
    assert {line["cue"] for line in lines(made, "train")} == {None}


def test_grammar_examples() -> None:
    red = (Thing("circle", "red", 0, 0, 8.0, 8.0, 10.0),)
    assert str(Phrase("red", None)) == "red object" and Phrase("red", None).count(red * 2) == 2
    assert Counted("both", "exactly", 2, Phrase("red", "circle")).text == "Both images contain exactly two red circles."
    assert Counted("some", "at least", 1, Phrase(None, "circle")).holds(((), red))
    assert not Counted("both", "at least", 1, Phrase(None, "circle")).holds(((), red))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train": 6}, "--train 6: give a multiple of 4"),
        ({"val": 0}, "--val 0: give a multiple of 4"),
        ({"side": 40}, "--side 40: give a multiple of 48"),
        ({"side": 2048}, "--side 2048: give a multiple of 48, up to 960"),
        ({"most": 10}, "--most 10: give 1 to 9"),
        ({"kinds": ["countng"]}, "--kinds countng: there is no such thing; did you mean counting?"),
        ({"colours": []}, "--colours : name each once, and at least one of red"),
        ({"shapes": ["circle", "circle"]}, "--shapes circle circle: name each once"),
        ({"leak": 1.5}, "--leak 1.5 --leak-truth 1: give a share"),
        ({"leak_truth": 0.2}, "--leak 0 --leak-truth 0.2: give a share"),
        ({"seed": -1}, "--seed -1: give a whole number"),
    ],
)
def test_a_bad_setting_is_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **change)
    assert sentence in str(caught.value)


def test_a_world_in_which_nothing_can_be_told_apart_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    poor = replace(SMALL, kinds=["same"], most=1, colours=["red"], shapes=["circle"])
    with pytest.raises(ConfigError, match="--kinds same with 1 things at most: new pictures"):
        make_scenes(poor, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(made: Path) -> None:
    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        make_scenes(SMALL, made)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(work: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_scenes(replace(SMALL, train=4, val=4, test=4), tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_at_all_image_sets(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    make_scenes(replace(SMALL, train=8, val=4, test=4), tmp_path / "out", lambda *news: told.append(news))
    assert told == [("image sets", n, 4) for n in range(1, 5)]


def test_the_options_of_the_command_are_the_settings(tmp_path: Path) -> None:
    words = f"{tmp_path}/out --train 4 --val 4 --test 8 --kinds existence same --leak .5 --leak-into pictures".split()
    values, chosen, _ = parse("knee-i2m2 scenes", scenes, words)
    told = scenes(*values, **chosen)
    written = json.loads((tmp_path / "out/scenes.json").read_text())["settings"]
    assert written["kinds"] == ["existence", "same"] and written["leak_into"] == "pictures"
    assert {name: written[name] for name in ("side", "seed", "most")} == {"side": 48, "seed": 0, "most": 3}
    assert told["examples"] == 16 and told["ceiling of pictures"] == 0.75 and told["ceiling of sentence"] == 0.5


def test_pictures_alone_and_sentences_alone_cannot_beat_chance_even_by_heart() -> None:
    for _, sets in draw_scenes(replace(SMALL, train=40, val=4, test=4)):
        rows = [(g.number, e) for g, _ in sets for e in g.examples]
        for part in ("pair", "sentence"):
            right = defaultdict(list)
            for number, example in rows:
                right[number, getattr(example, part)].append(example.label)
            assert all(sorted(labels) == [False, True] for labels in right.values())
