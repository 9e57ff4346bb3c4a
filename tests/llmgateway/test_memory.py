"""Memory is given back when much was added, again soon where that helped, and else ever more rarely."""

from llmgateway.memory import Memory, find_trim, resident_bytes

MB = 1024 * 1024


class Heap:
    """What a process holds, and what of it can be given back."""

    def __init__(self) -> None:
        self.used, self.free, self.trims = 100 * MB, 0, 0

    def held(self) -> int:
        return self.used + self.free

    def trim(self, pad: int) -> int:
        assert pad == 0
        self.trims += 1
        self.free = 0
        return 1


def looked_after(heap: Heap) -> Memory:
    return Memory(held=heap.held, trim=heap.trim)


def test_what_an_answer_left_behind_is_given_back():
    heap = Heap()
    memory = looked_after(heap)
    heap.free = 200 * MB

    assert memory.give_back(0) == 200 * MB
    assert heap.held() == 100 * MB
    assert memory.give_back(5) == 0
    assert heap.trims == 1


def test_a_little_is_left_alone():
    heap = Heap()
    memory = looked_after(heap)
    heap.free = 16 * MB

    assert memory.give_back(0) == 0
    assert heap.trims == 0


def test_what_is_in_use_first_and_free_later_is_given_back():
    heap = Heap()
    memory = looked_after(heap)
    heap.used += 200 * MB
    assert memory.give_back(0) == 0
    heap.used, heap.free = 100 * MB, 200 * MB

    assert [memory.give_back(now_s) for now_s in (5, 10)] == [0, 200 * MB]


def test_what_stays_in_use_is_asked_about_ever_more_rarely_but_once_a_minute():
    heap = Heap()
    memory = looked_after(heap)
    heap.used += 200 * MB
    asked = []
    for now_s in range(0, 400, 5):
        before = heap.trims
        memory.give_back(now_s)
        if heap.trims > before:
            asked.append(now_s)

    assert asked == [0, 10, 30, 70, 130, 190, 250, 310, 370]


def test_more_on_top_of_it_is_looked_at_at_once():
    heap = Heap()
    memory = looked_after(heap)
    heap.used += 200 * MB
    for now_s in (0, 10, 30):
        memory.give_back(now_s)
    heap.free = 50 * MB

    assert memory.give_back(35) == 50 * MB


def test_without_such_a_function_nothing_is_done(monkeypatch):
    monkeypatch.setattr("llmgateway.memory.find_trim", lambda: None)
    heap = Heap()
    memory = Memory(held=heap.held)
    heap.free = 200 * MB

    assert memory.give_back(0) == 0


def test_this_process_can_be_asked_what_it_holds():
    assert resident_bytes() > 10 * MB
    trim = find_trim()
    assert trim is None or trim(0) in (0, 1)
