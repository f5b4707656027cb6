"""Makes the golden runs of the format that this version writes; those of earlier formats stay as they are.

python tests/storage/make_golden.py
"""

import shutil
import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parents[1]))
jax.config.update("jax_num_cpu_devices", 1)

from toys import NET, NET_SPACE  # noqa: E402

import jaxtune as jt  # noqa: E402
from jaxtune.storage.directory import FORMAT  # noqa: E402

if __name__ == "__main__":
    folder = Path(__file__).parent / "golden" / f"format-{FORMAT}"
    shutil.rmtree(folder, ignore_errors=True)
    options = {"scheduler": jt.SuccessiveHalving(8, 5, 20, eta=2), "progress": False, "checkpoint_every": 0}
    jt.tune(NET, NET_SPACE, directory=folder / "finished", **options)
    jt.tune(NET, NET_SPACE, directory=folder / "stopped", callback=lambda result: True, **options)
    for name in ("finished", "stopped"):
        (folder / name / "run.lock").unlink()
