"""Runs the experiments of this folder, and writes what they measure into README.md.

    python examples/run.py                    all of them
    python examples/run.py keras_vae wine_vae

Each experiment is a workspace: job files, networks, perhaps a dataset or a strategy. Here stands what is
measured of it, by the commands that anybody can type there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pictures import (  # type: ignore[import-not-found]  # it lies beside this file
    angle_to_pca,
    digits_by_epoch,
    pca_error,
    recognised,
    sparsity,
    sure_digits,
    write_table,
)

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PICTURES = HERE / "pictures"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass
class Experiment:
    """What an experiment did.

    Attributes:
        name: of its folder.
        title: of its rows in the table.
        rows: what was measured: its name, the published value, ours.
        seconds: it took.
    """

    name: str
    title: str
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def folder(self) -> Path:
        """The workspace."""
        return HERE / self.name

    def dianne(self, command: str) -> Any:
        """Run a command in the workspace; its result as data, if it prints any."""
        print(f"  {self.name}$ dianne {command}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "dianne", *command.split()],
            cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout) if "--json" in command else None

    def learn(self, job: str) -> dict[str, Any]:
        """Run a job file; its result."""
        found: dict[str, Any] = self.dianne(f"learn {job} clean=true --json")
        return found

    def evaluate(self, words: str) -> dict[str, float]:
        """The metrics of stored networks."""
        found: dict[str, float] = self.dianne(f"evaluate {words} --json")["metrics"]
        return found

    def draw(self, words: str, name: str) -> None:
        """Draw a picture into the folder of pictures."""
        self.dianne(f"plot {words} out={PICTURES / name}.png")

    def row(self, what: str, measured: str, published: str = "") -> None:
        """Note what was measured."""
        print(f"    {what}: {measured}{f' (published: {published})' if published else ''}", flush=True)
        self.rows.append((what, published, measured))


Steps = Callable[[Experiment], None]
EXPERIMENTS: dict[str, tuple[str, Steps]] = {}


def experiment(name: str, title: str) -> Callable[[Steps], Steps]:
    """Files the steps of an experiment under the name of its folder."""

    def file(steps: Steps) -> Steps:
        EXPERIMENTS[name] = (title, steps)
        return steps

    return file


# ---------------------------------------------------------------------------------------------- experiments


@experiment("keras_vae", "The variational autoencoder of the Keras tutorial")
def keras_vae(run: Experiment) -> None:
    """The tutorial's own mathematics first, then the bound as it should be."""
    run.learn("published.yaml")
    networks = "KerasEncoder,SmallDecoder MNIST tag=published"
    run.row("loss on train", f"{run.evaluate(f'{networks} range=0:60000')['loss']:.2f}", "151.53")
    run.row("loss on validation", f"{run.evaluate(networks)['loss']:.2f}", "152.14")
    run.learn("job.yaml")
    for part, words in (("train", " range=0:60000"), ("validation", "")):
        found = run.evaluate(f"GaussianEncoder,SmallDecoder MNIST tag=vae{words}")
        loss = found["reconstruction"] + 2 * found["kl"]
        run.row(f"right mathematics: loss on {part}", f"{loss:.2f}")
    run.row("right mathematics: negative ELBO on validation", f"{found['negative ELBO']:.2f} nats")
    run.draw("latent GaussianEncoder MNIST tag=vae", "keras_latent")
    run.draw("manifold SmallDecoder tag=vae", "keras_manifold")


@experiment("lenet5", "LeNet5 on MNIST")
def lenet5(run: Experiment) -> None:
    """The classifier that judges the others' digits, too."""
    run.learn("job.yaml")
    found = run.evaluate("LeNet5 MNIST tag=lenet5")
    run.row("accuracy on the test images", f"{found['accuracy']:.2%}", "99.22 % (DIANNE)")
    run.draw("confusion LeNet5 MNIST tag=lenet5", "lenet5_confusion")


@experiment("conditional_vae", "A conditional variational autoencoder of three networks")
def conditional_vae(run: Experiment) -> None:
    """Digits of a wanted class, judged by LeNet5."""
    run.learn("job.yaml")
    found = run.evaluate("SigmoidEncoder,SigmoidDecoder,SigmoidClassifier MNIST tag=cvae")
    for name, value in found.items():
        run.row(f"{name} on validation", f"{value:.2%}" if name == "accuracy" else f"{value:.2f} nats")
    right, total = recognised(run.folder, "SigmoidDecoder", "cvae", HERE / "lenet5")
    run.row("digits of a wanted class that LeNet5 recognises", f"{right} of {total}")
    run.learn("wide.yaml")
    right, total = recognised(run.folder, "Decoder", "wide", HERE / "lenet5")
    run.row("the same with the networks that ship", f"{right} of {total}")
    run.draw("samples SigmoidDecoder tag=cvae", "conditional_samples")
    run.draw("samples Decoder tag=wide", "conditional_samples_wide")
    run.draw("loss SigmoidDecoder:cvae", "conditional_loss")
    epochs = digits_by_epoch(run.folder, "SigmoidDecoder", "cvae", [600 * epoch for epoch in range(1, 21)])
    epochs.savefig(PICTURES / "conditional_epochs.png")


@experiment("noisy_sine", "Manifold learning on a noisy sine")
def noisy_sine(run: Experiment) -> None:
    """A line, a curve, and a curve through too few points."""
    run.learn("linear.yaml")
    angle = angle_to_pca(run.folder, "LinearDecoder", "linear", "NoisySine")
    run.row("angle between the linear autoencoder and PCA", f"{angle:.2f} degrees", "the same subspace")
    for tag, networks in (("linear", "LinearEncoder,LinearDecoder"), ("deep", "DeepEncoder,DeepDecoder")):
        if tag == "deep":
            run.learn("deep.yaml")
        error = run.evaluate(f"{networks} NoisySine tag={tag}")["MSE"]
        run.row(f"{tag}: squared error on new points", f"{error:.4f}")
        run.draw(f"reconstruct {networks} NoisySine tag={tag} samples=300", f"sine_{tag}")
    run.learn("few.yaml")
    networks = "DeepEncoder,DeepDecoder NoisySine tag=few"
    run.row("25 points: squared error on these", f"{run.evaluate(networks + ' range=0:25')['MSE']:.4f}")
    run.row("25 points: squared error on new points", f"{run.evaluate(networks)['MSE']:.4f}", "over-fits")
    run.draw(f"reconstruct {networks} samples=300", "sine_few")


@experiment("conv_autoencoder", "A convolutional autoencoder, and the way between two eights")
def conv_autoencoder(run: Experiment) -> None:
    """The straight line in the space of codes stays among digits."""
    run.learn("job.yaml")
    networks = "CodeEncoder,CodeDecoder MNIST tag=ae"
    run.row("reconstruction on the test images", f"{run.evaluate(networks)['BCE']:.2f} nats")
    # Positions among the test images: two eights that are written in different ways.
    run.draw(f"interpolate {networks} from=61 to=257", "conv_homotopy")


@experiment("sparse_autoencoder", "A sparse autoencoder's code")
def sparse_autoencoder(run: Experiment) -> None:
    """A price on activity makes most values of the code 0."""
    for tag in ("dense", "sparse"):
        run.learn(f"{tag}.yaml")
        found = run.evaluate(f"SparseEncoder,SparseDecoder MNIST tag={tag}")["BCE"]
        zeros, dims = sparsity(run.folder, "SparseEncoder", tag)
        run.row(f"{tag}: reconstruction on the test images", f"{found:.2f} nats")
        run.row(f"{tag}: values of the code that are 0", f"{zeros:.1%}")
        run.draw(f"joint SparseEncoder MNIST tag={tag} dims={dims}", f"sparse_joint_{tag}")


@experiment("wine_vae", "A variational autoencoder on a table")
def wine_vae(run: Experiment) -> None:
    """From scikit-learn, and from a CSV file."""
    run.learn("job.yaml")
    found = run.evaluate("TableEncoder,TableDecoder Wine tag=wine")
    run.row("squared error on new wines, of values with variance 1", f"{found['reconstruction']:.3f}")
    run.row("kl", f"{found['kl']:.2f} nats")
    run.row("the same of PCA with 2 components", f"{pca_error(run.folder, 'Wine', 2):.3f}")
    write_table(run.folder / "datasets" / "table.csv")
    run.learn("table.yaml")
    found = run.evaluate("TableEncoder,TableDecoder Table tag=table")
    run.row("from the CSV file: squared error on new wines", f"{found['reconstruction']:.3f}")
    run.draw("latent TableEncoder Wine tag=wine range=0:178", "wine_latent")


@experiment("classics", "The examples of DIANNE")
def classics(run: Experiment) -> None:
    """VAE, GAN, VAE-GAN and the character LSTM."""
    run.learn("vae.yaml")
    found = run.evaluate("Encoder,Decoder MNIST tag=vae samples=100")
    for name, value in found.items():
        run.row(f"VAE: {name}", f"{value:.2f} nats")
    run.draw("manifold Decoder tag=vae", "vae_manifold")
    for title, job, generator, tag in (
        ("GAN", "gan.yaml", "ConvDecoder", "gan"),
        ("VAE-GAN", "vae_gan.yaml", "Decoder", "vaegan"),
    ):
        run.learn(job)
        run.dianne(f"forward {generator} tag={tag} random=64 seed=1 out={PICTURES / tag}.png")
        sure = sure_digits(run.folder, generator, tag, HERE / "lenet5")
        run.row(f"{title}: samples that LeNet5 takes for a digit with 90 % or more", f"{sure:.1%}")
    run.learn("lstm.yaml")
    found = run.evaluate("CharLSTM Shakespeare tag=lstm")
    run.row("character LSTM: perplexity on the last tenth of the text", f"{found['perplexity']:.2f}")
    made = run.dianne("generate CharLSTM First n=300 tag=lstm temperature=0.8 seed=1 --json")
    (PICTURES / "lstm.txt").write_text(made["prompt"] + made["text"] + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------- the table


def write(results: dict[str, Any]) -> None:
    """Keep the results, and put the table into README.md."""
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["| experiment | measured | published | ours |", "|---|---|---|---|"]
    for name, (title, _) in EXPERIMENTS.items():
        if name not in results:
            continue
        for number, (what, published, measured) in enumerate(results[name]["rows"]):
            first = f"[{title}]({name}/)" if number == 0 else ""
            lines.append(f"| {first} | {what} | {published} | {measured} |")
    page = HERE / "README.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def main(names: list[str]) -> None:
    """Run experiments, and write the table after each."""
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        sys.exit(f"there is no experiment '{unknown[0]}'; known: {', '.join(EXPERIMENTS)}")
    PICTURES.mkdir(exist_ok=True)
    for name in names or EXPERIMENTS:
        title, steps = EXPERIMENTS[name]
        run = Experiment(name, title)
        begin = time.perf_counter()
        print(title, flush=True)
        steps(run)
        run.seconds = time.perf_counter() - begin
        results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        write({**results, name: {"rows": run.rows, "seconds": round(run.seconds, 1)}})


if __name__ == "__main__":
    main(sys.argv[1:])
