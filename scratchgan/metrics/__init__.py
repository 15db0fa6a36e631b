"""Numbers that say how good images are: formulas on features, and evaluators trained here that give the features.

    judge = open_judge(run.config, training_data, n=5000)       # trains its evaluator, or reads it from the cache
    report = evaluate(judge, images)                            # uint8 N,C,H,W, or floats in [-1, 1]
    print(report.to_text())

See docs/metrics.md.
"""

from .checks import EvaluatorError, MetricError
from .distributions import inception_score, modes_present, total_variation
from .evaluators import Classifier, Evaluator, FactorRegressor, load_evaluator, open_evaluator, save_evaluator
from .factor_coverage import factor_coverage
from .frechet import frechet_distance
from .judge import Judge, RealImages
from .kernel import kernel_distance
from .memorisation import memorisation
from .neighbours import density_coverage, precision_recall
from .open_judge import open_judge
from .pairs import landmark_error, psnr, segmentation_agreement, ssim
from .report import Report, evaluate
from .two_sample import classifier_two_sample_test

__all__ = [
    "Classifier",
    "Evaluator",
    "EvaluatorError",
    "FactorRegressor",
    "Judge",
    "MetricError",
    "RealImages",
    "Report",
    "classifier_two_sample_test",
    "density_coverage",
    "evaluate",
    "factor_coverage",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "landmark_error",
    "load_evaluator",
    "memorisation",
    "modes_present",
    "open_evaluator",
    "open_judge",
    "precision_recall",
    "psnr",
    "save_evaluator",
    "segmentation_agreement",
    "ssim",
    "total_variation",
]
