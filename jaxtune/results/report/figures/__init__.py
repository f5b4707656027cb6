"""The pictures of a report, drawn by Bokeh out of its contents: one file each, with a function for each panel.

`frame.py` has what all share, `rows.py` the table of trials that links them: who is selected in one picture, or in the
page's own table, is selected in all.
"""
