"""The model card of a winner: what it is, how it was found, and how to load it with plain Flax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.text import short, with_error

_LINEN = """```python
variables = unflatten_dict(load_file("model.safetensors"), sep="/")  # from flax.traverse_util and safetensors.flax
model = ...  # your module, made with the hyperparameters above
outputs = model.apply(variables, inputs)  # in evaluation mode: train=False, or whatever the module calls it
```"""
_NNX = """```python
flat = load_file("model.safetensors")  # from safetensors.flax
nested = {tuple(int(k) if k.isdigit() else k for k in name.split("/")): x for name, x in flat.items()}
nnx.update(model, nnx.traversals.unflatten_mapping(nested))  # model: yours, made with the hyperparameters above
```"""
_FRESH = (
    " It was the best of {confirmation.num_trials} on fresh seeds that the search had not used, and the metrics are "
    "those of its own {confirmation.num_seeds}."
)
_NONE = "The task names no variables: the whole state is in `../weights`, leaf by leaf."


def model_card(result: Any, config: Mapping[str, Any], kind: str | None) -> str:
    """Markdown.

    Args:
        result: A `Result`.
        config: Of the winner.
        kind: Of its module, "linen" or "nnx"; None where the task names no variables.
    """
    best, history = result.best, result.history
    rows = [f"| {name} | {short(value)} |" for name, value in best.hparams.items()]
    metrics = [f"| {name} | {with_error(value, best.standard_error[name])} |" for name, value in best.metrics.items()]
    many = "; these are the weights of the first replicate" if result.num_runs > 1 else ""
    fresh = "" if result.confirmation is None else _FRESH.format(confirmation=result.confirmation)
    lines = [
        f"# Trial {best.id}",
        "",
        f"The best of {history.num_trials:,} configurations by {result.metric} ({result.mode}), after "
        f"{best.best_step:,} steps; found by jaxtune with seed {result.seed}{many}.{fresh}",
        "",
        "| hyperparameter | value |",
        "|---|---|",
        *rows,
        "",
        "| metric (mean over replicates and folds) | value |",
        "|---|---|",
        *metrics,
        "",
        "The metrics are of the validation data, which selected it, or of training (`train_`): not of a test set.",
        "",
        "## Loading",
        "",
        _NONE if kind is None else _NNX if kind == "nnx" else _LINEN,
    ]
    if "preprocessing" in config:
        lines += ["", "Inputs are preprocessed first: the statistics are in `config.json` under `preprocessing`."]
    return "\n".join(lines) + "\n"
