"""Measure a bundle again for an evaluation, and keep the points of the other codecs.

Use: `python scripts/measure_again.py EVALUATION -o FOLDER`. EVALUATION is an evaluation.json that `fmae-edge
evaluate` wrote, on the test images of Fashion-MNIST. The points of general codecs do not depend on the bundle, and to measure them
takes an hour. Their times are those of the machine in EVALUATION. FOLDER gets the files that `fmae-edge evaluate`
writes.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from fmae_edge import Codec
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.evaluate.evaluation import Evaluation, evaluate
from fmae_edge.evaluate.evaluation_files import prepare_results, to_markdown, write_results
from fmae_edge.evaluate.image_choice import at_equal_distances
from fmae_edge.evaluate.rate_points import OURS
from fmae_edge.evaluate.training_gap import measure_training_gap
from fmae_edge.evaluate.verdict import curves_of, judge


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description="Measure a bundle again, and keep the other codecs.")
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle (default: the built-in one)")
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--images", type=int, default=10_000, help="a multiple of 100")
    options = parser.parse_args()
    before = Evaluation.from_record(json.loads(options.evaluation.read_bytes()))
    codec = Codec(options.bundle, threads=1)
    targets = prepare_results(options.output, force=True)
    data = load_fashion_mnist()
    images = at_equal_distances(data.test, options.images)
    done = evaluate(codec, data.train, images, options.effort, ladders=[])
    others = [point for point in before.points if not point.codec.startswith(OURS) and point.codec != "PCA"]
    points = [*done.points, *others]
    gap = measure_training_gap(codec, data.train, images)
    verdict = judge(curves_of(points, options.effort), options.images, gap, options.effort).to_record()
    evaluation = replace(done, points=points, verdict=verdict)
    write_results(evaluation, targets, force=True)
    print(to_markdown(evaluation))


if __name__ == "__main__":
    main()
