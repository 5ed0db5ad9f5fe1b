"""Questions to who may be slow: each answer alone, in bounded time. Threads meet at events; nothing sleeps."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.edge.health import Condition
from scaivault.edge.survey import Survey
from scaivault.kernel.errors import Unavailable

PATIENCE_SECONDS = 10
SOON = 0.05


class Slow:
    """A question that hangs while its gate is shut."""

    def __init__(self):
        self.calls = 0
        self.gate = threading.Event()

    def __call__(self):
        self.calls += 1
        assert self.gate.wait(PATIENCE_SECONDS)
        return "late"


@pytest.fixture
def slow():
    question = Slow()
    yield question
    question.gate.set()


@pytest.fixture
def survey():
    made = []

    def make(answer_seconds, **questions):
        made.append(Survey(questions, answer_seconds))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_each_question_has_its_own_answer(survey):
    assert survey(PATIENCE_SECONDS, one=lambda: 1, none=lambda: None).answers() == {"one": 1, "none": None}


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (Unavailable("hunter2"), Condition.UNREACHABLE),
        (OSError("hunter2"), Condition.ERROR),
        (KeyError("hunter2"), Condition.ERROR),
    ],
)
def test_whatever_a_question_dies_of_the_answer_is_a_word_and_the_others_are_answered(survey, failure, word):
    def fail():
        raise failure

    assert survey(PATIENCE_SECONDS, bad=fail, good=lambda: 1).answers() == {"bad": word, "good": 1}


def test_one_that_hangs_is_not_waited_for_and_not_asked_again(survey, slow):
    here = survey(SOON, slow=slow, quick=lambda: 1)
    for _ in range(3):
        assert here.answers() == {"slow": Condition.TIMEOUT, "quick": 1}
    assert slow.calls == 1


def test_who_asks_meanwhile_waits_for_the_same_answer(survey, slow):
    here = survey(PATIENCE_SECONDS, slow=slow)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(here.answers) for _ in range(4)]
        slow.gate.set()
        assert [each.result(PATIENCE_SECONDS) for each in asked] == [{"slow": "late"}] * 4
    assert 1 <= slow.calls <= 4


def test_questions_are_asked_side_by_side(survey):
    meeting = threading.Barrier(3)
    questions = {str(number): lambda: meeting.wait(PATIENCE_SECONDS) for number in range(3)}
    assert set(survey(PATIENCE_SECONDS, **questions).answers().values()) == {0, 1, 2}
