"""Questions to whoever may be slow, answered in bounded time."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from scaivault.edge.health import Condition
from scaivault.kernel.errors import Unavailable

ANSWER_SECONDS = 1.0


class Survey:
    """Asks every question on a thread of its own and waits for all of them a second at most.

    Who asks while a question is out waits for that one's answer: what hangs holds one thread, not one for everybody
    who asks.
    """

    def __init__(self, questions: Mapping[str, Callable[[], object]], answer_seconds: float = ANSWER_SECONDS) -> None:
        self._questions = questions
        self._answer_seconds = answer_seconds
        self._turn = threading.Lock()
        self._out: dict[str, Future[object]] = {}
        self._workers = ThreadPoolExecutor(len(questions), thread_name_prefix="survey")

    def answers(self) -> Mapping[str, object]:
        """What each question came to: its answer, or the Condition that says why there is none."""
        with self._turn:
            for name, question in self._questions.items():
                if name not in self._out or self._out[name].done():
                    self._out[name] = self._workers.submit(question)
            out = dict(self._out)
        wait(out.values(), self._answer_seconds)
        return {name: _outcome(answer) for name, answer in out.items()}

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)


def _outcome(answer: "Future[object]") -> object:
    if not answer.done():
        return Condition.TIMEOUT
    try:
        return answer.result()
    except Unavailable:
        return Condition.UNREACHABLE
    except Exception:  # noqa: BLE001 - whatever a question dies of, the answer is a word of the vocabulary
        return Condition.ERROR
