"""Words of other tuners, and what jaxtune has instead: for errors about names that don't exist.

Needs nothing but Python: `import jaxtune` alone waits for nothing else.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

_SCHEDULER = "scheduler=jt.SuccessiveHalving(trials=64, min_steps=50, max_steps=800)"

# Written without underscores, in lower case: Loguniform, log_uniform and LogUniform are one word.

_PUBLIC = {  # names of a package
    "jt.LogUniform(low, high)": "loguniform suggestloguniform floatlog",
    "jt.Uniform(low, high), or jt.LogUniform": "uniform suggestuniform float real suggestfloat floatdistribution",
    "jt.Uniform(low, high, step=...)": "quniform suggestdiscreteuniform quantized",
    "jt.LogUniform(low, high), which has no steps": "qloguniform",
    "jt.Integer(low, high), both included": "randint qrandint int suggestint intuniform intdistribution uniformint",
    "jt.Integer(low, high, log=True), both included": "lograndint qlograndint loguniformint",
    "jt.Normal(mean, std)": "randn qrandn gaussian",
    "jt.Choice([...])": "categorical suggestcategorical choices oneof pchoice categoricaldistribution",
    "jt.Choice([False, True])": "boolean bool",
    "jt.Choice([...]), all of whose values sampler=jt.Grid() tries": "gridsearch",
    "a plain value in the space": "fixed constant const",
    "a plain dict from names to domains": "hyperparameters searchspace configspace configurationspace",
    "jt.tune(task, space, scheduler=...)": (
        "createstudy study optimize minimize maximize fmin fit run tuner tuneconfig runconfig search"
    ),
    "jt.SuccessiveHalving(trials, min_steps, max_steps)": (
        "asha ashascheduler asynchyperbandscheduler successivehalvingpruner halvingrandomsearchcv halving"
    ),
    "jt.Hyperband(min_steps, max_steps)": "hyperbandpruner hyperbandscheduler hyperbandforbohb",
    "jt.PopulationBasedTraining(trials, steps, interval)": "pbt populationbasedtraining pb2",
    "sampler=jt.Random() with scheduler=jt.FullBudget(trials, steps)": (
        "randomsearch randomizedsearchcv randomsampler fifoscheduler noppruner"
    ),
    "sampler=jt.Grid(levels) with scheduler=jt.FullBudget(trials, steps)": "gridsearchcv gridsampler",
    "sampler=jt.Sobol()": "qmcsampler halton quasirandom latinhypercube lhs",
    "sampler=jt.Points([...])": "enqueuetrial pointstoevaluate partialfixedsampler",
    "sampler=jt.TPE() with generations=8": "tpesampler hyperoptsearch optunasearch cmaessampler",
    "sampler=jt.Bayesian() with generations=8": "bayesianoptimization gpsampler botorchsampler bayesopt",
    "sampler=jt.TPE() with generations=8 and scheduler=jt.Hyperband(min_steps, max_steps)": "bohb tunebohb",
    "jt.tune(patience=...) or jt.SuccessiveHalving": "medianpruner patientpruner earlystopping medianstoppingrule",
    "jt.tune(folds=5)": "kfold crossvalidate crossvalscore",
    "jt.importance(result)": "getparamimportances fanova pedanova",
    "jt.supervised(...) or jt.Task(...)": "objective trainable trainer train model",
}
_ARGUMENTS = {  # names of arguments: the first of ours that a function has is meant
    "trials": "ntrials numsamples maxtrials niter maxevals numtrials ncalls iterations candidates population popsize",
    "time_limit": "timeout timebudgets timebudget maxtime timelimit seconds timelimits",
    "mode": "direction directions maximize minimize goal",
    "metric": "objective scoring monitor score",
    "steps max_steps": (
        "epochs maxepochs numepochs nepochs maxt maxiter maxresource maxresources maxiterations numsteps nsteps steps "
        "maxsteps updates budget"
    ),
    "min_steps": "minepochs graceperiod minresource minresources mint minsteps",
    "eta": "reductionfactor factor",
    "interval": "perturbationinterval ready",
    "quantile": "quantilefraction truncation",
    "resample_probability": "resampleprob resampleprobability",
    "perturbation": "perturbfactor perturbationfactors",
    "sampler": "searchalg algorithm algo search strategy tuner",
    "scheduler": "pruner stopper earlystoppolicy",
    "space": "config paramspace searchspace params paramdistributions paramgrid hyperparameters configspace grid hps",
    "replicates": "executionspertrial repeats nrepeats nseeds numseeds seeds",
    "callback": "callbacks",
    "folds splits": "cv nfolds nsplits ksplits kfold",
    "seed": "randomstate randomseed rng key prngkey",
    "progress": "verbose showprogressbar progressbar quiet",
    "placement devices": "devices lanes device gpus",
    "patience": "earlystopping earlystoppingrounds",
    "previous": "resume resumefrom warmstart",
    "validation": "val valid valdata validationdata evaldata dev",
    "train": "traindata trainingdata data trainset dataset xtrain x y inputs targets labels",
    "test": "testdata testset",
    "optimizer": "opt tx optim learningrate lr",
    "loss": "lossfn lossfunction criterion",
    "batch_size": "batch bs batchsizes",
    "augment": "transform augmentation transforms",
    "penalty": "regularizer regularization weightdecay",
    "preprocess": "scaler normalize preprocessing standardize",
    "variables": "pretrained initialvariables weights params",
    "compute_dtype": "dtype precision",
    "low": "min lower minval minvalue lo start",
    "high": "max upper maxval maxvalue hi stop",
    "step": "q stepsize",
    "mean": "mu loc",
    "std": "sigma sd scale stddev",
    "options": "categories values choices",
    "weights": "probs probabilities",
    "log": "logscale sampling",
    "levels": "numpoints resolution num",
}
_EPOCHS = " It counts updates: an epoch is as many as there are examples, divided by batch_size."
_NOTES = {"steps": _EPOCHS, "max_steps": _EPOCHS, "min_steps": _EPOCHS}
_HOMES = {  # arguments of ours -> where they belong
    f"the scheduler has it, as in {_SCHEDULER}": "trials steps max_steps min_steps eta interval quantile perturbation",
    "tune(time_limit=seconds) ends a search": "time_limit",
    "all trials train side by side; on a CPU, jt.set_host_device_count() makes every core a device": (
        "n_jobs max_concurrent_trials max_concurrent resources_per_trial n_workers num_workers workers"
    ),
    "sampler=jt.Points([...]) tries known configurations first": (
        "points_to_evaluate initial_configs initial_points enqueue_trials"
    ),
    "jt.tune takes {}": (
        "metric mode sampler scheduler replicates folds evaluate_every patience keep seed previous callback progress "
        "placement"
    ),
    "jt.supervised takes {}": (
        "train validation test optimizer loss metrics batch_size augment penalty preprocess variables compute_dtype"
    ),
    "LogUniform and Integer(..., log=True) are logarithmic": "log",
    "the space comes second": "space",
}
_FINDINGS = {  # what results and trials are asked for
    "result.best.hparams": "bestparams bestconfig besthyperparameters getbesthyperparameters params config",
    "result.best.metrics": "bestvalue bestscore bestmetrics bestloss bestvalues value score",
    "result.best": "besttrial bestresult getbestresult getbesttrial getbesttrials winner besttrials",
    "result.best.model": "bestmodel bestmodels getbestmodel getbestmodels bestestimator",
    "result.best.variables": "bestvariables bestweights bestcheckpoint getbestcheckpoint weights",
    "result.best.predict(x)": "predict",
    "jt.tune(sampler=jt.Points([...]), previous=result)": "enqueuetrial addtrial",
    "result.to_dataframe()": "trialsdataframe getdataframe resultsdf dataframe df cvresults todf topandas",
    "result.plot_curves()": "plot plotintermediatevalues plotcurve learningcurves",
    "result.plot_progress()": "plotoptimizationhistory plotconvergence",
    "result.plot_space()": "plotslice",
    "result.plot_parallel()": "plotparallelcoordinate parallelcoordinates",
    "result.plot_importance()": "plotparamimportances",
    "result.plot_contour()": "plotrank",
    "jt.importance(result)": "importance importances getparamimportances featureimportances",
    "result.table()": "summary resultssummary leaderboard",
    "result.test()": "evaluate testscore",
    "jt.tune(previous=result)": "optimize resume",
}
_TRIAL = {
    "trial.hparams": "params config hyperparameters hp parameters userattrs",
    "trial.metrics": "value values score objective loss metric result lastresult metricsdataframe",
    "trial.id": "number trialid",
    "trial.status": "trialstate pruned",
}


def hinted(made: T) -> T:
    """Makes a function or class say what it has instead of an argument that it doesn't; its signature stays.

    Example:
        >>> from jaxtune.interface.habits import hinted
        >>> @hinted
        ... def tune(task, *, metric="loss", mode="min"):
        ...     return metric
        >>> try:
        ...     tune(0, direction="max")
        ... except TypeError as error:
        ...     print(error)
        tune() has no argument 'direction', did you mean 'mode'?
    """
    given: Any = made
    parameters = inspect.signature(given).parameters
    if isinstance(made, type):
        given.__init__ = _asking(given.__init__, made.__name__, parameters, 1)
        return made
    return _asking(given, given.__name__, parameters, 0)  # type: ignore[return-value]  # called like the one given


def _asking(function: Any, name: str, parameters: Mapping[str, inspect.Parameter], bound: int) -> Callable[..., Any]:
    kinds = {parameter.kind for parameter in parameters.values()}
    by_position = [p.name for p in parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    any_number, any_name = inspect.Parameter.VAR_POSITIONAL in kinds, inspect.Parameter.VAR_KEYWORD in kinds

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) - bound > len(by_position) and not any_number:
            raise TypeError(_too_many(name, by_position, args[bound:]))
        if not any_name and not kwargs.keys() <= parameters.keys():
            raise TypeError(_unknown(name, next(k for k in kwargs if k not in parameters), parameters))
        return function(*args, **kwargs)

    return call


def _too_many(name: str, by_position: list[str], args: tuple[Any, ...]) -> str:
    if len(by_position) == 1:
        return f"{name}() takes one value, {by_position[0]}, got {len(args)}: write {name}([...]) around them."
    return (
        f"{name}() takes {', '.join(by_position) or 'nothing'} by position, got {len(args)} values: give the others by "
        "name."
    )


def _unknown(name: str, word: str, parameters: Iterable[str]) -> str:
    known = [parameter for parameter in parameters if parameter != "self"]
    ours = _lookup(_ARGUMENTS, word).split() or [word]
    meant = next((one for one in ours if one in known), None)
    if meant is not None:
        note = _NOTES.get(meant, "") if "epoch" in word.lower() else ""
        return f"{name}() has no argument {word!r}, did you mean {meant!r}?{note}"
    home = next((where for where, words in _HOMES.items() if ours[0] in words.split()), "")
    hint = f": {home.format(ours[0])}." if home else did_you_mean(word, known) or f"; it takes {', '.join(known)}."
    return f"{name}() has no argument {word!r}{hint}"


def public(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that the package lacks; private ones are asked for by machines."""
    return "" if name.startswith("_") else _hint(_PUBLIC, name, known)


class Answering:
    """Attributes that other tuners' results have are answered with ours."""

    if not TYPE_CHECKING:  # type checkers would take any attribute for one that is there

        def __getattr__(self, name: str) -> Any:
            """Called for what is not there."""
            kind = type(self)
            if hasattr(kind, name):  # a property that failed: it says again why
                return object.__getattribute__(self, name)
            ours = _TRIAL | _FINDINGS if kind.__name__ == "Trial" else _FINDINGS
            hint = "" if name.startswith("_") else _hint(ours, name, dir(kind))
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}{hint}")


def _hint(table: Mapping[str, str], name: str, known: Iterable[str]) -> str:
    ours = _lookup(table, name)
    return f": write {ours}" if ours else did_you_mean(name, (one for one in known if not one.startswith("_")))


def _lookup(table: Mapping[str, str], word: str) -> str:
    """What a table has for another tuner's word; nothing is the empty string."""
    plain = word.replace("_", "").lower()
    return next((ours for ours, theirs in table.items() if plain in theirs.split()), "")


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """The end of an error sentence: the known name most like this one, if any is."""
    close = difflib.get_close_matches(str(name), [k for k in known if isinstance(k, str)], n=1)
    return f", did you mean {close[0]!r}?" if close else ""
