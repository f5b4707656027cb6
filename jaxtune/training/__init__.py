"""How a task is made from a Flax module: models, optimizers, schedules, losses, metrics, augmentation, preprocessing.

May import `tasks`. Only users import it: the engine and the drivers know tasks, whoever made them. Begin with
`supervised.py`.
"""
