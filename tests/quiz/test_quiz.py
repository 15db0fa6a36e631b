"""The quiz: what is asked, scripted players and their verdicts, exact statistics, scores, drawing."""

import json

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from scratchgan.quiz import (
    Game,
    ScorePlayer,
    ScoresError,
    Tally,
    add_game,
    clopper_pearson,
    coin_p_value,
    half_blocks,
    make_rounds,
    read_games,
    side_by_side,
    train_classifier,
)


class Dark:
    """Fakes that are darker than every real picture."""

    name = "dark"

    def images(self, n, seed):
        return np.random.default_rng(seed).integers(0, 100, (n, 8, 8, 1), np.uint8)


def bright(n, seed=0):
    return np.random.default_rng(seed).integers(110, 256, (n, 8, 8, 1), np.uint8)


def game(seed, score, rounds=20):
    asked = make_rounds(bright(4 * rounds), [Dark()], rounds, seed)
    player = ScorePlayer(score)
    return Tally.of(asked, [player.answer(question) for question in asked])


def truth(images):
    return images.mean((1, 2, 3)) - 105


# Rounds


def test_rounds_are_balanced_and_ask_no_real_picture_twice():
    real = bright(400)
    rounds = make_rounds(real, [Dark()], 100, 3)
    kinds = [question.kind for question in rounds]
    assert [kinds.count(kind) for kind in ("pair", "grid", "all-fake")] == [44, 44, 12]
    assert [len(q.images) for q in rounds[:8]] == [2 if q.kind == "pair" else 4 for q in rounds[:8]]
    assert all(q.real.sum() == 1 for q in rounds if q.kind == "pair")
    assert not any(q.real.any() for q in rounds if q.kind == "all-fake")
    shown = np.concatenate([q.images[q.real] for q in rounds])
    assert len(np.unique(shown, axis=0)) == len(shown)
    assert all((truth(q.images) > 0).tolist() == q.real.tolist() for q in rounds)
    in_grids = np.concatenate([q.real for q in rounds if q.kind == "grid"])
    assert 0.35 < in_grids.mean() < 0.65
    first = [q.real[0] for q in rounds if q.kind == "pair"]
    assert 0.2 < np.mean(first) < 0.8
    again = make_rounds(real, [Dark()], 100, 3)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(rounds, again, strict=True))
    assert [q.kind for q in make_rounds(real, [Dark()], 100, 4)] != kinds


def test_fakes_come_from_every_source():
    other = Dark()
    other.name = "other"
    assert {q.source for q in make_rounds(bright(16), [Dark(), other], 4, 0)} == {"dark", "other"}


def test_rounds_that_cannot_be():
    with pytest.raises(ValueError, match="20 rounds need 80 real pictures, and there are 79"):
        make_rounds(bright(79), [Dark()], 20, 0)
    with pytest.raises(ValueError, match="dark draws 8x8 grey uint8, but the real pictures are 8x8 colour uint8"):
        make_rounds(bright(80).repeat(3, 3), [Dark()], 20, 0)
    with pytest.raises(ValueError, match="at least one round and one source"):
        make_rounds(bright(80), [], 20, 0)


# Scripted players


def test_a_coin_cannot_tell_and_its_interval_holds_one_half():
    held = verdicts = 0
    for seed in range(100):
        coin = np.random.default_rng(1000 + seed)
        verdict = game(seed, lambda images, coin=coin: coin.standard_normal(len(images))).verdict()
        held += verdict.interval[0] <= 0.5 <= verdict.interval[1]
        verdicts += verdict.kind == "cannot tell"
    assert held >= 93
    assert verdicts >= 93


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (truth, "tells"),
        (lambda images: -truth(images), "fooled"),
        (lambda images: np.ones(len(images)), "says all are real"),
        (lambda images: -np.ones(len(images)), "says all are fake"),
    ],
    ids=["truth", "the opposite", "always real", "always fake"],
)
def test_scripted_players_are_told_apart(score, kind, seed):
    tally = game(seed, score)
    assert tally.verdict().kind == kind
    if kind == "tells":
        assert tally.right == tally.trials == 9 + 4 * 9
        assert (tally.surprises, tally.all_fake) == (0, 8)
        assert tally.verdict().interval[1] == 1
    if kind == "says all are real":
        assert tally.surprises == tally.all_fake == 8


def test_a_trained_machine_tells_what_can_be_told_and_not_what_cannot():
    score = train_classifier(bright(100, 1), Dark().images(100, 2), 0)
    assert game(0, score).verdict().kind == "tells"
    same = train_classifier(bright(100, 1), bright(100, 2), 0)
    new = bright(400, 3)
    assert 0.2 < (same(new) > 0).mean() < 0.8 or np.abs(same(new)).max() < 1
    np.testing.assert_array_equal(train_classifier(bright(100, 1), bright(100, 2), 0)(new), same(new))
    with pytest.raises(ValueError, match="one shape, 8 x 8 or more"):
        train_classifier(bright(4), bright(4)[:, :4], 0)


def test_answers_that_are_none():
    (question,) = make_rounds(bright(8), [Dark()], 1, 0)
    assert question.kind == "pair"
    with pytest.raises(ValueError, match="exactly one picture"):
        Tally.of([question], [np.array([True, True])])
    with pytest.raises(ValueError, match="of 2 pictures"):
        Tally.of([question], [np.array([True])])
    with pytest.raises(ValueError, match="must return 2 numbers"):
        ScorePlayer(lambda images: np.ones(3)).answer(question)


# Statistics


@pytest.mark.parametrize(("right", "trials"), [(0, 1), (1, 1), (3, 7), (0, 20), (20, 20), (33, 45), (510, 1000)])
def test_the_exact_test_and_interval_are_scipys(right, trials):
    found = stats.binomtest(right, trials)
    assert coin_p_value(right, trials) == pytest.approx(found.pvalue, rel=1e-9)
    interval = found.proportion_ci(0.95, "exact")
    assert clopper_pearson(right, trials) == pytest.approx(tuple(interval), abs=1e-9)


def test_statistics_of_nothing_and_of_nonsense():
    assert coin_p_value(0, 0) == 1
    assert clopper_pearson(0, 0) == (0, 1)
    assert Tally().verdict().kind == "cannot tell"
    with pytest.raises(ValueError, match="from 0 to 3 right answers of 3, got 4"):
        coin_p_value(4, 3)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        clopper_pearson(1, 3, 95)


# Scores


def test_scores_are_kept_and_added_up(tmp_path):
    path = tmp_path / "new" / "quiz.json"
    assert read_games(path) == []
    one = Game("2026-01-01T00:00:00+00:00", "faces", ("runs/a",), 0, 20, {"you": game(0, truth)})
    add_game(path, one)
    assert add_game(path, one) == read_games(path) == [one, one]
    both = sum((g.players["you"] for g in read_games(path)), Tally())
    assert (both.right, both.trials) == (90, 90)
    assert [p.name for p in path.parent.iterdir()] == ["quiz.json"]
    json.loads(path.read_text())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"quiz": 3}', '{"quiz": [{"when": 1}]}', '{"runs": []}'])
def test_a_file_that_holds_no_scores_stays_as_it_is(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ScoresError, match=r"holds no scores of the quiz .*--scores"):
        add_game(path, Game("", "", (), 0, 1, {}))
    assert path.read_text() == text


# Drawing


def test_half_blocks_are_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (5, 3, 3), np.uint8)
    lines = half_blocks(image)
    assert [line.plain for line in lines] == ["▀▀▀"] * 3
    for row, line in enumerate(lines):
        for column, span in enumerate(line.spans):
            style = span.style
            assert tuple(style.color.triplet) == tuple(image[2 * row, column])
            if 2 * row + 1 < 5:
                assert tuple(style.bgcolor.triplet) == tuple(image[2 * row + 1, column])
            else:
                assert style.bgcolor is None


@pytest.mark.parametrize(("width", "rows", "across"), [(80, 5, 38), (20, 10, 18), (8, 20, 8), (6, 4 * 3, 4)])
def test_pictures_fit_the_terminal(width, rows, across):
    lines = side_by_side(np.zeros((4, 8, 8, 1), np.uint8), width)
    assert len(lines) == rows
    assert max(len(line.plain) for line in lines) == across
    console = Console(width=width, color_system="truecolor", force_terminal=True)
    with console.capture() as capture:
        for line in lines:
            console.print(line)
    assert capture.get().count("\n") == rows
