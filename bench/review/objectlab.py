"""Reads {categories, confidence, images: [{labels: [[category, x1, y1, x2, y2]], detections: [[category, x1, y1, x2, y2, score]]}]} on
standard input and writes the per-box scores of cleanlab's ObjectLab (0 bad, 1 good; null where it gives none)."""

import json
import sys

import numpy as np
from cleanlab.object_detection import rank

data = json.load(sys.stdin)
labels = [
    {
        "bboxes": np.array([row[1:] for row in image["labels"]], dtype=np.float64).reshape(-1, 4),
        "labels": np.array([row[0] for row in image["labels"]], dtype=np.int64),
    }
    for image in data["images"]
]
predictions = []
for image in data["images"]:
    by_class = [[] for _ in range(data["categories"])]
    for row in image["detections"]:
        by_class[row[0]].append(row[1:])
    predictions.append(np.array([np.array(rows, dtype=np.float64).reshape(-1, 5) for rows in by_class] + [None], dtype=object)[:-1])


def scores(compute, **thresholds):
    found = compute(labels=labels, predictions=predictions, **thresholds)
    return [[None if np.isnan(score) else float(score) for score in image] for image in found]


json.dump(
    {
        "overlooked": scores(rank.compute_overlooked_box_scores, high_probability_threshold=data["confidence"]),
        "badLocation": scores(rank.compute_badloc_box_scores),
        "swapped": scores(rank.compute_swap_box_scores, high_probability_threshold=data["confidence"]),
    },
    sys.stdout,
)
