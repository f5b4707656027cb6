"""How a learning rate follows the batch size."""

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Scalar, check_positive

__all__ = ["linear", "sqrt"]


@relaxed()
def linear(learning_rate: Scalar, batch_size: Scalar, base_batch_size: Scalar) -> Scalar:
    """The learning rate times the ratio of batch sizes: the rule for SGD, with or without momentum.

    A step on k times as many examples stands for k steps. It fails for large ratios without a warmup, and for very
    large ones altogether.

    Args:
        learning_rate: shape `[]`, the one for `base_batch_size`.
        batch_size: shape `[]`, > 0.
        base_batch_size: shape `[]`, > 0.

    Returns:
        Shape `[]`; a Python float of Python numbers.

    Raises:
        ValueError: a batch size is known and not positive.

    Source: Goyal et al., https://arxiv.org/abs/1706.02677.

    Example:
        >>> import jaxtune as jt
        >>> jt.scaling.linear(0.1, batch_size=512, base_batch_size=256)
        0.2
    """
    return learning_rate * _ratio("linear", batch_size, base_batch_size)


@relaxed()
def sqrt(learning_rate: Scalar, batch_size: Scalar, base_batch_size: Scalar) -> Scalar:
    """The learning rate times the square root of the ratio of batch sizes: the rule for Adam and its kin.

    It keeps the variance of updates of SGD the same; for adaptive methods it follows from their limit as a
    stochastic differential equation.

    Args:
        learning_rate: shape `[]`, the one for `base_batch_size`.
        batch_size: shape `[]`, > 0.
        base_batch_size: shape `[]`, > 0.

    Returns:
        Shape `[]`; a Python float of Python numbers.

    Raises:
        ValueError: a batch size is known and not positive.

    Source: Krizhevsky, https://arxiv.org/abs/1404.5997; Malladi et al. (Adam), https://arxiv.org/abs/2205.10287.

    Example:
        >>> import jaxtune as jt
        >>> jt.scaling.sqrt(0.1, batch_size=1024, base_batch_size=256)
        0.2
    """
    return learning_rate * _ratio("sqrt", batch_size, base_batch_size) ** 0.5


def _ratio(rule: str, batch_size: Scalar, base_batch_size: Scalar) -> Scalar:
    for name, size in (("batch_size", batch_size), ("base_batch_size", base_batch_size)):
        check_positive(f"scaling.{rule}", name, size)
    # 1.0: the quotient of two int32 arrays would be a strong float32, which turns bfloat16 states into float32.
    return 1.0 * batch_size / base_batch_size
