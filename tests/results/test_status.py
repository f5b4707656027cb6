"""A status is a text with parts."""

import copy
import json
import pickle

import pytest

from jaxtune.results.trial import Status

EACH = {
    Status("finished"): ("finished", None, "finished"),
    Status("pruned", 200): ("pruned", 200, "pruned at step 200"),
    Status("stopped early", 0): ("stopped early", 0, "stopped early at step 0"),
}


@pytest.mark.parametrize("status", EACH)
@pytest.mark.parametrize("again", [lambda s: s, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_status_is_the_text_and_keeps_its_parts(status, again):
    kind, step, text = EACH[status]
    other = again(status)
    assert (other.kind, other.step, str(other)) == (kind, step, text)
    assert other == text == status
    assert json.dumps(other) == json.dumps(text)
