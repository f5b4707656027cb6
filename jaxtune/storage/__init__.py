"""What has to be kept for a search to survive.

May import `results`. Begin with `record.py`.
"""
