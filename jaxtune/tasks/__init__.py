"""What one trial is: a user's functions and data, traced once, and what is said if they don't fit a space.

May import `spaces`. Begin with `task.py`, then `problem.py`, where a task and a space meet. `cpu/` replaces what is
slow in vmapped loops on a CPU.
"""
