from toys import DESCENT, DESCENT_SPACE, ONE

import jaxtune as jt
from jaxtune.drivers.setup import set_up
from jaxtune.engine.ladder import Size
from jaxtune.engine.width import Width
from jaxtune.engine.worth import quickest
from jaxtune.samplers import Sobol

SIZES = (Size(64, 16), Size(8, 2), Size(1, 1))


def of_width(width):
    return 1e-3 + 1e-4 * width


def test_a_size_has_to_save_more_than_its_programs_take():
    """A lane takes 2.6 ms in a chunk of 16, 1.1 ms alone: 667 steps are worth a second."""
    assert quickest(SIZES, {64: 10, 1: 650}, of_width, 1.0) == SIZES[:1]
    assert quickest(SIZES, {64: 10, 1: 680}, of_width, 1.0) == (SIZES[0], SIZES[2])
    assert quickest(SIZES, {64: 10, 2: 1000, 1: 10_500}, of_width, 1.0) == SIZES


def test_many_narrow_chunks_may_take_longer_than_a_wide_one():
    """Eight lanes are four chunks of 2, each with what a step takes whatever its width."""
    assert quickest(SIZES, {64: 10, 8: 10**6}, of_width, 1.0) == (Size(64, 16),)


def layouts(max_steps, **options):
    scheduler = jt.SuccessiveHalving(64, min_steps=5, max_steps=max_steps, eta=2)
    common = DESCENT, DESCENT_SPACE, scheduler, Sobol(), "loss", None, 1, 0, jt.Placement(devices=ONE.devices, lanes=8)
    search = set_up(*common)
    return Width(search, search.problem.first, 64, **options).layouts


def test_a_short_search_takes_one_size():
    assert [one.width for one in layouts(320)] == [8]


def test_where_programs_cost_nothing_it_takes_more(free_programs):
    assert [one.width for one in layouts(320)] == [8, 2, 1]


def test_what_was_recorded_is_taken_as_it_is():
    assert [one.width for one in layouts(320, recorded=[(64, 8), (8, 2)])] == [8, 2]
