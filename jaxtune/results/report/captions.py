"""What stands above and below the pictures of a report, in words."""

TITLES = {
    "parallel": "Parallel coordinates",
    "curves": "Learning curves",
    "slices": "Slices",
    "importance": "Importance",
    "contour": "Two hyperparameters together",
    "progress": "Best so far",
    "tuning": "What fewer trials would have found",
    "isolation": "The best of each part of a range",
    "lineage": "Lineage and schedules",
    "rungs": "Rungs",
}
PANELS = {"slices": "slice", "progress": "spent", "isolation": "isolation", "lineage": "schedule"}
LEARNT = " Later generations were proposed near what was good, which hides how bad other values are: see the slices."
ABOUT = {
    "parallel": (
        "A line per trial through its hyperparameters to its {metric}; {better} is better. The strong line is "
        "the winner. Drag along an axis to select a range; boxes on several axes all have to hold. Who has no value "
        "lies below the axes."
    ),
    "curves": (
        "{metric} on validation data over training steps. Dashed lines were pruned, at the dotted rungs; crosses "
        "diverged; the strong line is the best trial, dotted on its training data. A box selects who comes there. "
        "Values beyond the frame lie on its edge."
    ),
    "slices": (
        "Each trial's {metric} over each of its hyperparameters. Circles were trained to the end, triangles pruned, "
        "crosses diverged. Values beyond the frame lie on its edge."
    ),
    "importance": (
        "How differently the best tenth of the trials is spread from all of them, hyperparameter by hyperparameter "
        "(PED-ANOVA, Watanabe et al. 2023); lines are 95 % intervals of a bootstrap."
    ),
    "contour": (
        "The two that matter most, where that is known: how good the trials around a place are on average, whatever "
        "their other hyperparameters. Orange ranks first, blue last; marks are trials."
    ),
    "progress": (
        "The best {metric} that any trial had reached, over what was spent; points are trials that took over. A trial "
        "may get worse later: what counts is its value at the end, unless the search kept the best (keep)."
    ),
    "tuning": (
        "The expected best of n trials at step {step}, to which all were trained, drawn from the first generation; the "
        "band holds 95 % of such searches (Dodge et al. 2019)."
    ),
    "isolation": (
        "The best trial in each part of a range: what a value costs when all others are tuned for it (an isolation "
        "plot, Godbole et al. 2023). Faint ones were trained for fewer steps."
    ),
    "lineage": (
        "A line per trial; where one copied the weights of another, a line joins them. The strong path leads to the "
        "best trial. Below, how hyperparameters changed along the lineage of each trial."
    ),
    "rungs": "How many trials came to each rung, went on, were pruned there, or had diverged.",
}


FRESH = (
    "The best trials, trained again with seeds that the search never used. After ± stands a standard error; in 95 % of "
    "searches all brackets hold how much worse a trial really is. Who is clearly worse gets no more seeds."
)
