from knee_i2m2.report.elements.style import INK, axes, strokes, svg


def test_rivals_are_told_apart() -> None:
    names = ["i2m2", "ideal", *"abcdefghijklmnopq"]
    looks = [(str(look["color"]), str(look["linestyle"])) for look in strokes(names).values()]
    assert list(strokes(names)) == names
    assert len(set(looks)) == len(names)


def test_ink_follows_the_page_and_dollars_are_no_formula() -> None:
    with axes(2.0, 2.0) as (figure, plot):
        plot.set_title("$a_b$ <c>")
        drawn = svg(figure, "one")
    assert INK not in drawn
    assert "currentColor" in drawn
    assert "$a_b$ &lt;c&gt;" in drawn
