"""jaxtune, as its README shows it."""

import jaxtune as jt
from searches import work as w


def searcher(work):
    """`tune`, which tells after every rung what has been found."""
    jt.set_host_device_count()
    splits = work.splits()
    task = jt.supervised(
        work.model,
        optimizer=w.optimizer,
        loss=w.loss,
        batch_size=work.batch,
        train=splits["train"],
        validation=splits["validation"],
    )

    def search(seed):
        found = w.Found()

        def look(result):
            found.saw(result.best.metrics["loss"])

        result = jt.tune(task, w.SPACE, scheduler=work.scheduler, seed=seed, callback=look, progress=False)
        found.best = float(result.best.metrics["loss"])
        return found.done()

    return search
