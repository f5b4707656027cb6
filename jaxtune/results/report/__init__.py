"""A search on one page that opens anywhere, and the same as plain values for programs.

Begin with `contents.py`, all that is said, which becomes `report.json`; `page.py` makes HTML of it, with a file in
`figures/` for each picture and the page's own script and style in `assets/`. Bokeh draws, an optional extra that is
imported when a page is made.
"""
