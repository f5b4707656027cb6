"""The tables of gpu.py, made from what it has written to its JSON file."""

import statistics

from side_by_side import spread

from accelerator.floor import NAMES, floor

HAND = "(b) jit(vmap(scan))"


def report(saved):
    """All tables as Markdown."""
    jobs = saved["jobs"]
    peak = next((job["peaks"] for job in jobs if job["section"] == "peaks"), None)
    grown = [job for job in jobs if job["section"] == "growth"]
    parts = [saved["machine"]]
    if peak:
        parts.append("### Peaks of the device\n\n" + peaks_table(peak))
    if grown:
        parts += [f"### {job_title(job)}\n\n{points_table(job)}" for job in grown]
        parts.append("### Time per step = a + b * lanes\n\n" + fits_table(grown))
    if peak and grown:
        parts.append(
            "### Time per step against the floor, at the largest number of lanes\n\n" + floor_table(grown, peak)
        )
    for section, title in (("halving", "Halving against training all"), ("hyperband", "Hyperband's brackets")):
        searches = [job for job in jobs if job["section"] == section]
        if searches:
            parts.append(f"### {title}\n\n" + searches_table(searches))
    return "\n\n".join([*parts, *saved["notes"]])


def job_title(job):
    """The model and what it computes in."""
    return f"{job['title']}, {job['dtype']}"


def peaks_table(peak):
    """The device's peaks."""
    units = {name: 1e9 if name == "copy" else 1e12 for name in NAMES}
    return table(["peak", "measured"], [[NAMES[name], f"{peak[name] / units[name]:,.4g}"] for name in NAMES])


def points_table(job):
    """Both sides at every number of lanes."""
    sides = [f"{side}, {unit}" for unit in ("us per step", "lane-steps/s") for side in ("(b)", "jaxtune")]
    rows = []
    for record in job["points"]:
        lanes, medians = record["lanes"], median_steps(record)
        row = [f"{lanes:,}", f"{record['width']:,}", *(f"{1e6 * t:,.4g}" for t in medians)]
        rows.append([*row, *(f"{lanes / t:,.0f}" for t in medians), f"{record['hand_over_jaxtune']:.2f}"])
    lines = table(["lanes", "at once", *sides, "jaxtune / (b)"], rows)
    return lines + (f"\n\n{job['note']}" if job["note"] else "")


def median_steps(record):
    """Seconds per step by hand and by jaxtune."""
    return [statistics.median(record["seconds_per_step"][side]) for side in ("hand", "jaxtune")]


def fits_table(jobs):
    """A line per model and side."""
    rows = []
    for job in jobs:
        for side, fitted in job["fits"].items():
            row = [job_title(job), HAND if side == "hand" else side]
            row += [f"{1e6 * fitted['a']:,.3g}", f"{1e6 * fitted['b']:,.3g}", f"{fitted['r_squared']:.4f}"]
            rows.append([*row, f"{fitted['p_star']:,.3g}", f"{1 / fitted['b']:,.3g}"])
    return table(["model", "", "a, us", "b, us per lane", "R2", "P* = a/b", "most lane-steps/s, 1/b"], rows)


def floor_table(jobs, peak):
    """What the device could do by FLOPs and bytes against what was measured."""
    header = ["model", "lanes", "MFLOP per lane-step", "MB per lane-step", "bound by", "floor, us per step"]
    rows = []
    for job in jobs:
        if not job["points"]:
            continue
        record, work, bounds = job["points"][-1], job["work"], floor(job["work"], job["dtype"], peak)
        bound, lanes = max(bounds, key=bounds.get), record["lanes"]
        hand, ours = median_steps(record)
        least = lanes * bounds[bound]
        row = [job_title(job), f"{lanes:,}", f"{work['flops'] / 1e6:,.3g}", f"{work['bytes'] / 1e6:,.3g}", bound]
        row += [f"{1e6 * least:,.4g}", f"{ours / least:.2f}", f"{hand / least:.2f}"]
        rows.append([*row, f"{lanes * work['flops'] / ours / peak[job['dtype']]:.1%}"])
    return table([*header, "jaxtune / floor", "(b) / floor", "jaxtune, share of matmul peak"], rows)


def searches_table(jobs):
    """Two rows per search, and the reference over the other."""
    header = ["model", "", "lane-steps", "first run, s", "warm, s", "lane-steps/s, warm", "best validation loss"]
    rows = []
    for job in jobs:
        for side, record in job["sides"].items():
            rate = record["lane_steps"] / statistics.median(record["wall"][1:])
            row = [job_title(job), side, f"{record['lane_steps']:,}", f"{record['wall'][0]:,.3g}"]
            rows.append([*row, spread(record["wall"][1:]), f"{rate:,.0f}", spread(record["loss"])])
        (name,) = job["sides"].keys() - {job["reference"]}
        slow, fast = job["sides"][job["reference"]], job["sides"][name]
        warm = statistics.median(s / f for s, f in zip(slow["wall"][1:], fast["wall"][1:], strict=True))
        row = [job["scheduler"], f"{job['reference']} / {name}", f"{slow['lane_steps'] / fast['lane_steps']:.2f}"]
        rows.append([*row, f"{slow['wall'][0] / fast['wall'][0]:.2f}", f"{warm:.2f}", "", ""])
    return table(header, rows)


def table(header, rows):
    """A Markdown table."""
    head, *lines = ("| " + " | ".join(map(str, line)) + " |" for line in (header, *rows))
    return "\n".join([head, "|" + "---|" * len(header), *lines])
