"""Draw where a variational autoencoder with two latent dimensions keeps the digits it was shown.

Usage, in the workspace where Encoder and Decoder were trained on Digits:

    python latent_space.py TAG PICTURE.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import dianne


def main(tag: str, picture: str) -> None:
    """Encode the test digits, decode a grid of latent points, and draw both side by side."""
    workspace = dianne.Workspace()
    encoder, decoder = (workspace.deploy(name, tag=tag) for name in ("Encoder", "Decoder"))
    digits = workspace.dataset("Digits", part="test")
    means = encoder.forward(digits.inputs.numpy() / 255)[:, :2]

    steps = np.linspace(-2.5, 2.5, 18)
    points = [(x, y) for y in reversed(steps) for x in steps]
    decoded = decoder.forward(points).reshape(18, 18, 28, 28)
    mosaic = decoded.transpose(0, 2, 1, 3).reshape(18 * 28, 18 * 28)

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6))
    dots = left.scatter(*means.T, c=digits.targets, cmap="tab10", vmin=-0.5, vmax=9.5, s=14)
    figure.colorbar(dots, ax=left, ticks=range(10), label="digit", pad=0.02)
    left.set(title="Digits it never saw, where the encoder puts them", xlim=(-3.6, 3.6), ylim=(-3.6, 3.6))
    right.imshow(mosaic, cmap="gray", extent=(-2.65, 2.65, -2.65, 2.65))
    right.set(title="What the decoder makes of each place")
    for axes in (left, right):
        axes.set(xlabel="latent dimension 1", ylabel="latent dimension 2")
    figure.tight_layout(w_pad=3)
    figure.savefig(picture, dpi=110)
    print(f"wrote {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
