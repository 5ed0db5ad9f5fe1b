"""What is written stays where it is, whatever happens to the process, and nothing is mapped that is not allocated."""

import errno
import resource

import pytest
from prometheus_client.mmap_dict import MmapedDict

from scaivault.observability.tables import FIRST_BYTES, Table, key


def test_a_table_is_a_file_of_prometheus_client(tmp_path):
    table = Table.at(tmp_path / "t.db")
    for number in range(3):
        table.doubles[table.place(f"key {number}") // 8] = number + 0.5
    stock = MmapedDict(str(tmp_path / "t.db"))
    assert [(name, value) for name, value, _ in stock.read_all_values()] == [
        ("key 0", 0.5),
        ("key 1", 1.5),
        ("key 2", 2.5),
    ]
    stock.write_value("key 3", 3.5, 0.0)
    stock.close()
    again = Table.at(tmp_path / "t.db")
    assert [again.doubles[again.place(f"key {number}") // 8] for number in range(4)] == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize("length", range(1, 18))
def test_every_number_is_at_an_address_divisible_by_eight(tmp_path, length):
    table = Table.at(tmp_path / "t.db")
    places = [table.place("ü" * length), table.place("x" * length)]
    assert [place % 8 for place in places] == [0, 0]
    assert [table.place("ü" * length), table.place("x" * length)] == places


def test_who_holds_a_place_holds_it_while_the_file_grows(tmp_path):
    table = Table.at(tmp_path / "t.db")
    doubles, place = table.doubles, table.place("first") // 8
    for number in range(3_000):
        table.place(f"{number:064}")
    assert len(table.memory) > FIRST_BYTES
    doubles[place] += 7
    assert table.doubles[place] == 7
    assert Table.at(tmp_path / "t.db").doubles[place] == 7


def test_every_byte_is_allocated_before_it_is_mapped(tmp_path):
    table = Table.at(tmp_path / "t.db")
    for number in range(3_000):
        table.place(f"{number:064}")
    status = (tmp_path / "t.db").stat()
    assert status.st_size == len(table.memory)
    assert status.st_blocks * 512 >= status.st_size


def test_a_file_that_can_not_grow_says_so_and_keeps_what_it_has(tmp_path):
    table = Table.at(tmp_path / "t.db")
    place = table.place("first") // 8
    table.doubles[place] = 1.0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FIRST_BYTES, hard))
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            for number in range(3_000):
                table.place(f"{number:064}")
        assert refused.value.errno == errno.EFBIG
        with pytest.raises(OSError, match="File too large"):
            table.place("one more, and long" * 10_000)
        table.doubles[table.place("first") // 8] += 1.0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Table.at(tmp_path / "t.db").doubles[place] == 2.0
    table.place("one more")


def test_what_a_kill_cut_short_is_not_there(tmp_path):
    table = Table.at(tmp_path / "t.db")
    table.place(key("m", "m", {}, "help"))
    used = bytes(table.memory[:4])
    table.place(key("n", "n", {}, "help"))
    # The entry was written, and the process ended before it said so.
    table.memory[:4] = used
    again = Table.at(tmp_path / "t.db")
    assert list(again.labels()) == [{}]
    again.doubles[again.place(key("o", "o", {"a": "b"}, "help")) // 8] = 1.0
    assert list(Table.at(tmp_path / "t.db").labels()) == [{}, {"a": "b"}]
