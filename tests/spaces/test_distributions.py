import sys

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from spaces import spaces

from jaxtune.spaces.distributions import distribution, import_optuna, parameters, unit
from jaxtune.spaces.domains import Choice, Integer, LogNormal, LogUniform, Normal, Uniform
from jaxtune.spaces.space import Space


@pytest.mark.parametrize(
    ("domain", "wanted"),
    [
        (Uniform(0.0, 0.5), optuna.distributions.FloatDistribution(0.0, 0.5)),
        (Uniform(0.0, 0.5, step=0.1), optuna.distributions.FloatDistribution(0.0, 0.5, step=0.1)),
        (LogUniform(1e-4, 1.0), optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)),
        (Normal(1.0, 0.5), optuna.distributions.FloatDistribution(-1.0, 3.0)),
        (LogNormal(0.0, 0.25), optuna.distributions.FloatDistribution(np.exp(-1), np.exp(1), log=True)),
        (Integer(1, 9, step=4), optuna.distributions.IntDistribution(1, 9, step=4)),
        (Integer(4, 64, log=True), optuna.distributions.IntDistribution(4, 64, log=True)),
        (Integer(4, 64, log=True, step=4), optuna.distributions.IntDistribution(4, 64, log=True)),
        (Choice(("relu", None, 2)), optuna.distributions.CategoricalDistribution(("relu", None, 2))),
        (Choice((1, 1.5, True)), optuna.distributions.CategoricalDistribution(("1", "1.5", "True"))),
    ],
    ids=str,
)
def test_domains_have_the_distribution_of_their_kind(domain, wanted):
    assert distribution(domain) == wanted


def test_options_that_optuna_does_not_keep_are_texts_and_come_back():
    domain = Choice((len, (1, 2)))
    known = distribution(domain).choices
    assert all(isinstance(option, str) for option in known)
    assert [domain.option(int(domain.decode_index(unit(domain, option)))) for option in known] == [len, (1, 2)]


@settings(max_examples=30, deadline=None)
@given(spaces())
def test_configurations_survive_the_way_there_and_back(space):
    space = Space.of(space)
    space = space.pin(dict.fromkeys(space.undecided, False))
    points = np.random.default_rng(0).random((5, space.num_dims)).astype(np.float32)
    decoded = {key: np.asarray(values) for key, values in space.decode(points).items()}
    for t in range(5):
        hparams = space.row(decoded, t)
        found = parameters(space, hparams)
        assert set(found) == {key for key in space.names if space.exists(decoded)[key][t]}
        for key, parameter in found.items():
            assert distribution(space.domain(key))._contains(
                distribution(space.domain(key)).to_internal_repr(parameter)
            )
        back = [unit(space.domain(key), found[key]) if key in found else 0.5 for key in space.names]
        np.testing.assert_allclose(back, space.encode(hparams), atol=1e-6)


def test_steps_on_a_log_scale_are_rounded_to():
    domain = Integer(4, 64, log=True, step=4)
    assert [domain.decode(unit(domain, given)).item() for given in (4, 5, 6, 7, 63, 64)] == [4, 4, 4, 8, 64, 64]


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'to_optuna\(\) needs Optuna: pip install "jaxtune\[optuna\]"'):
        import_optuna("to_optuna()")
