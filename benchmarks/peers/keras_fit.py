"""Keras 3: `fit`, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import torch
from keras import layers, ops
from torch import nn

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload


class Sampling(layers.Layer):
    """A point of the posterior; adds the divergence to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, parameters: Any) -> Any:
        mean, stdev = ops.split(parameters, 2, axis=1)
        stdev = ops.softplus(stdev)
        divergence = mean**2 + stdev**2 - 2 * ops.log(stdev + 1e-6) - 1
        self.add_loss(0.5 * ops.mean(ops.sum(divergence, axis=1)))
        return mean + stdev * keras.random.normal(ops.shape(mean), seed=self.seed)


def perceptron(value: Any, *sizes: int) -> Any:
    for size in sizes[:-1]:
        value = layers.Dense(size, activation="relu")(value)
    return layers.Dense(sizes[-1])(value)


def autoencoder() -> Any:
    pixels = keras.Input((784,))
    point = Sampling()(perceptron(pixels, 512, 512, 512, 4))
    result = ops.sigmoid(perceptron(point, 512, 512, 512, 784))
    return keras.Model(pixels, result), lambda y, p: 784 * keras.losses.binary_crossentropy(y, p)


def lenet() -> Any:
    pixels = keras.Input((28, 28, 1))
    value = pixels
    for planes in (32, 64):
        value = layers.Conv2D(planes, 5, padding="same", activation="relu")(value)
        value = layers.MaxPooling2D(2)(value)
    result = ops.softmax(perceptron(layers.Flatten()(value), 1024, 10))
    return keras.Model(pixels, result), "sparse_categorical_crossentropy"


class Turn(keras.callbacks.Callback):
    def __init__(self, gate: Gate, total: int):
        super().__init__()
        self.gate, self.left = gate, total

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if self.left:
            self.gate()
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan, backend: str) -> list[nn.Module]:
    assert keras.backend.backend() == backend
    keras.utils.set_random_seed(1)
    model, loss = autoencoder() if workload.name == "vae" else lenet()
    model.compile(keras.optimizers.Adam(workload.rate), loss)
    inputs, targets = workload.data(folder, "train").arrays
    inputs = inputs[: plan.total * workload.batch].reshape(-1, *model.input_shape[1:])
    targets = inputs if workload.name == "vae" else targets[: len(inputs)]
    epochs = -(-plan.total * workload.batch // len(inputs))
    model.fit(
        inputs, targets, batch_size=workload.batch, epochs=epochs, verbose=0,
        callbacks=[Turn(gate, plan.total)],
    )  # fmt: skip
    return in_torch(workload, model)


def in_torch(workload: Workload, model: Any) -> list[nn.Module]:
    """The weights in the networks by hand, which are judged alike."""
    networks = workload.build()
    weights = [torch.tensor(ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    own = [weight for network in networks for weight in network.parameters()]
    with torch.no_grad():
        for mine, theirs in zip(own, weights, strict=True):
            if theirs.dim() == 4:
                moved = theirs.permute(3, 2, 0, 1)
            elif theirs.shape[0] == 3136:  # what was flattened has its planes last
                moved = theirs.view(7, 7, 64, -1).permute(3, 2, 0, 1).flatten(1)
            else:
                moved = theirs.t()
            mine.copy_(moved)
    return networks
