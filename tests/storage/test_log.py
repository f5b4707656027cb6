"""The log: what is written comes back, and what was changed, cut or moved is found."""

import json
import re

import numpy as np
import pytest

from jaxtune.storage import log
from jaxtune.storage.files import DamagedFile
from jaxtune.storage.log import Log

EVENTS = [{"event": "a", "value": 0.1}, {"event": "b", "text": 'λ\n"}'}, {"event": "c", "values": [[1, 2], ["nan"]]}]


@pytest.fixture
def path(tmp_path):
    writer = Log(tmp_path / "log.jsonl")
    for event in EVENTS:
        writer.append(event)
    writer.close()
    return writer.path


def test_events_come_back(path):
    assert log.read(path).events == EVENTS


def test_each_line_is_json(path):
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == EVENTS


def test_numbers_are_exact_and_what_is_not_finite_is_a_text():
    values = np.array([[0.1, np.nan], [np.inf, 1e-45]], np.float32)
    written = json.loads(json.dumps(log.numbers(values.tolist()), allow_nan=False))
    np.testing.assert_array_equal(np.asarray(written, np.float32), values)


def test_whatever_is_missing_of_the_last_line_the_log_goes_on(path):
    data = path.read_bytes()
    last = data[:-1].rfind(b"\n") + 1
    for end in range(last, len(data)):
        path.write_bytes(data[:end])
        for more in ({"event": "d"}, {"event": "e"}):
            writer = Log(path)
            writer.append(more)
            writer.close()
        assert log.read(path).events == [*EVENTS[:2], {"event": "d"}, {"event": "e"}]
        if end > last:
            assert path.with_suffix(".torn").read_bytes() == data[last:end]


def test_every_flipped_bit_is_found(path):
    data = path.read_bytes()
    last = data[:-1].rfind(b"\n") + 1
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            try:
                found = log.read(path)
            except DamagedFile:
                continue
            assert at >= last  # without its end the last line is one that was torn
            assert found.events == EVENTS[:2]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1, 2), (0, 2), (1, 2)])
def test_lines_in_another_order_are_found(path, order):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[i] for i in order))
    with pytest.raises(DamagedFile, match=r"damaged at byte \d+, after \d events"):
        log.read(path)


def test_repair_keeps_what_is_valid(path):
    data = path.read_bytes()
    second = data.find(b"\n") + 1
    path.write_bytes(data[: second + 9] + b"x" + data[second + 10 :])
    with pytest.raises(DamagedFile, match=re.escape(f"byte {second}, after 1 events")):
        Log(path)
    assert log.repair(path) == len(data) - second
    assert log.read(path).events == EVENTS[:1]
    Log(path).append({"event": "d"})
    assert log.read(path).events == [EVENTS[0], {"event": "d"}]


def test_an_event_that_the_disk_refuses_leaves_the_log_as_it_was(path, monkeypatch):
    writer = Log(path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append({"event": "d"})
    writer.append({"event": "e"})
    assert log.read(path).events == [*EVENTS, {"event": "e"}]
