"""How good are the generated garments? ``python -m benchmarks.fashion_quality [RUN] [--pytorch]``.

A classifier, trained on the real training images and kept in the cache folder, judges 2,000 generated ones: how many
there are of each class, and how far their features are from those of the real test images (Frechet distance). The
floor is that distance for 2,000 real images of the training set.

RUN is the folder of a run of ``scratchgan train --data fashion-mnist``. With --pytorch, PyTorch then trains the same
networks from the same initial values, on the same images, with the same optimiser and moving average, for as many
steps, and is judged too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from scratchgan.data import Dataset, Loader, open_dataset
from scratchgan.metrics import Classifier, frechet_distance, open_evaluator
from scratchgan.nn import Module
from scratchgan.train import load_run
from scratchgan.train.config import TrainConfig
from scratchgan.train.game import Game, learning_rate_part

COUNT = 2000


def judge(classifier: Classifier, images: np.ndarray, real_features: np.ndarray) -> dict[str, Any]:
    """Return the Frechet distance of images (N,C,H,W) in [-1, 1] to real features, and the share of each class."""
    classes = np.bincount(classifier.predict(images), minlength=len(classifier.modes))
    return {
        "frechet": frechet_distance(classifier.features(images), real_features),
        "shares": (classes / len(images)).round(4).tolist(),
    }


def sample_run(run: Path) -> np.ndarray:
    images = load_run(run).sample(COUNT, seed=1)
    return images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1


def as_pytorch(torch: Any, module: Module) -> Any:
    """Return a PyTorch Sequential of the same layers, with the same values.

    Where ours leaves an Identity for what it fuses, PyTorch's has the layer itself: an activation after batch
    normalisation, an upsampling before a convolution.
    """
    nn = torch.nn
    children = [child for _, child in module.named_children()]
    layers = []
    for before, layer, after in zip([None, *children], children, [*children[1:], None], strict=False):
        kind = type(layer).__name__
        if kind == "Identity":
            fused = type(after).__name__ != "UpsampleConv2d"
            layers.append(nn.LeakyReLU(before.negative_slope) if fused else nn.Upsample(scale_factor=2))
        elif kind == "Linear":
            layers.append(nn.Linear(layer.weight.shape[1], layer.weight.shape[0]))
        elif kind in ("Conv2d", "UpsampleConv2d"):
            out, into, k, _ = layer.weight.shape
            stride = layer.stride if kind == "Conv2d" else 1
            layers.append(nn.Conv2d(into, out, k, stride, layer.padding))
        elif kind == "BatchNorm2d":
            layers.append(nn.BatchNorm2d(layer.num_features))
        elif kind == "LeakyReLU":
            layers.append(nn.LeakyReLU(0.2))
        elif kind == "Unflatten":
            layers.append(nn.Unflatten(1, layer.unflattened_size))
        elif kind in ("Flatten", "Tanh"):
            layers.append(getattr(nn, kind)())
        else:
            raise SystemExit(f"--pytorch: a network with {kind} has no twin here: use d_norm=none or batch")
    twin = nn.Sequential(*layers)
    twin.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in module.state_dict().items()})
    return twin


def discriminator_loss(torch: Any, config: TrainConfig, d: Any, real: Any, fake: Any) -> Any:
    """Return D's loss in PyTorch as `scratchgan.train` computes it: cross-entropy, smoothed, with R1's penalty."""
    bce, gamma = torch.nn.functional.binary_cross_entropy_with_logits, config.own.r1 or 0.0
    real.requires_grad_(gamma > 0)
    real_logits, fake_logits = d(real), d(fake)
    target = torch.full_like(real_logits, 1 - (config.own.label_smoothing or 0))
    loss = bce(real_logits, target) + bce(fake_logits, torch.zeros_like(fake_logits))
    if gamma > 0:
        (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
        loss = loss + slope.square().flatten(1).sum(1).mean() * (gamma / 2)
    return loss


def sample_pytorch(torch: Any, config: TrainConfig, dataset: Dataset) -> np.ndarray:
    """Train the run's networks in PyTorch, as its config says, and return generated images."""
    run, own = config.run, config.own
    if config.system != "gan" or own.loss != "bce" or own.d_steps != 1 or own.mirror:
        raise SystemExit("--pytorch: only runs of system gan with loss=bce, d_steps=1 and no mirror have a twin here")
    ours = Game(config.replace(device="cpu", cuda_graph=False, precision="float32")).networks
    g, d = as_pytorch(torch, ours["generator"]), as_pytorch(torch, ours["discriminator"])
    average = {name: value.clone() for name, value in g.state_dict().items()}
    g_adam = torch.optim.Adam(g.parameters(), own.lr_g, own.betas)
    d_adam = torch.optim.Adam(d.parameters(), own.lr_d, own.betas)
    loader, bce = Loader(dataset, run.batch, seed=run.seed), torch.nn.functional.binary_cross_entropy_with_logits
    one = torch.ones(run.batch, 1)
    torch.manual_seed(run.seed)
    start = time.perf_counter()
    for step in range(run.steps):
        part = learning_rate_part(run, step)
        g_adam.param_groups[0]["lr"], d_adam.param_groups[0]["lr"] = own.lr_g * part, own.lr_d * part
        real = torch.from_numpy(next(loader)["image"])
        fake = g(torch.randn(run.batch, own.latent))
        d_adam.zero_grad()
        discriminator_loss(torch, config, d, real, fake.detach()).backward()
        d_adam.step()
        g_adam.zero_grad()
        bce(d(fake), one).backward()
        g_adam.step()
        decay = min(own.ema_decay, (1 + step) / (10 + step))
        for name, value in g.state_dict().items():
            if value.dtype.is_floating_point and "running" not in name:
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)
    print(f"PyTorch: {run.steps} steps in {time.perf_counter() - start:.0f} s")
    g.load_state_dict(average)
    with torch.no_grad():
        return g.eval()(torch.randn(COUNT, own.latent)).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a run; without it, the judge alone")
    parser.add_argument("--pytorch", action="store_true", help="train the same networks in PyTorch and judge them too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    train, test = (open_dataset("fashion-mnist", split=split) for split in ("train", "test"))
    classifier = open_evaluator(Classifier(train, test))
    accuracy = 1 - classifier.held_out["class"]
    print(f"judge {classifier.hash}: {accuracy:.2%} of the test images classified correctly")
    real = classifier.features(test.images(np.arange(len(test))))
    chosen = np.random.default_rng(0).permutation(len(train))[:COUNT]
    figures = {"real training images (the floor)": judge(classifier, train.images(chosen), real)}
    if options.run:
        run = load_run(options.run)
        figures[f"scratchgan, {run.step} steps"] = judge(classifier, sample_run(options.run), real)
        if options.pytorch:
            import torch

            images = sample_pytorch(torch, run.config, train)
            figures[f"PyTorch, {run.config.run.steps} steps"] = judge(classifier, images, real)
    floor = next(iter(figures.values()))["frechet"]
    print(f"\n{COUNT} images each; Frechet distance to the {len(test):,} test images; share of each class in %")
    for who, figure in figures.items():
        shares = " ".join(f"{share * 100:5.1f}" for share in figure["shares"])
        print(f"{who:34} {figure['frechet']:9.3f} ({figure['frechet'] / floor:6.1f} x floor)   {shares}")
    if options.json:
        options.json.write_text(json.dumps({"accuracy": accuracy, "judged": figures}, indent=1))


if __name__ == "__main__":
    main()
