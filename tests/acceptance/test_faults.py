"""What a user does wrong: one message, the right exit code, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import DIANNE, Run

SHIPPED = (
    "strategies: BPTTLearningStrategy, ClassificationEvaluationStrategy, CriterionEvaluationStrategy, "
    "FeedForwardLearningStrategy, PerplexityEvaluationStrategy, "
    "VariationalAutoEncoderEvaluationStrategy, VariationalAutoEncoderLearningStrategy"
)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dianne forwrad", "there is no command 'forwrad'; did you mean 'forward'?"),
        (
            "dianne learn",
            "NETWORKS and DATASET missing; usage: dianne learn [OPTIONS] NETWORKS DATASET [KEY=VALUE]...",
        ),
        (
            "dianne learn MLP Digits tag=a b",
            "'b' is one word too many; usage: dianne learn [OPTIONS] NETWORKS DATASET [KEY=VALUE]...",
        ),
        ("dianne learn MLP Digits =3", "'=3' is no option; write key=value"),
        (
            "dianne learn Encodr Digits",
            "there is no network 'Encodr' in networks/ or among those that ship; did you mean 'Encoder'?",
        ),
        (
            "dianne learn MLP Digit",
            "there is no dataset 'Digit' in datasets/ or among those that ship; did you mean 'Digits'?",
        ),
        (
            "dianne learn MLP Digits strategy=FeedFoward",
            "there is no LearningStrategy 'FeedFoward' in strategies/ or among those that ship; "
            "did you mean 'FeedForward'?",
        ),
        ("dianne strategies Zzz", f"there is no strategy 'Zzz'; {SHIPPED}"),
        (
            "dianne learn Encoder Digits strategy=VariationalAutoEncoder",
            "VariationalAutoEncoderLearningStrategy takes 2 networks (encoder, decoder), found 1: Encoder",
        ),
        (
            "dianne learn MLP Digits batchSize=none mehtod=ADAM criterion=BCEE",
            "learn: 3 problems\n"
            "  option 'criterion': unknown criterion 'BCEE'; did you mean 'BCE'?\n"
            "  option 'batchSize': expected a whole number, found 'none'\n"
            "  option 'mehtod': nothing here reads 'mehtod'; did you mean 'method'?",
        ),
        (
            "dianne learn MLP Digits Mlp.learningRate=1",
            "learn: 1 problem\n"
            "  option 'Mlp.learningRate': nothing here is called 'Mlp'; did you mean 'MLP'?",
        ),
        (
            "dianne learn MLP Digits range=0,1797",
            "the range 0,1797 reaches to sample 1,797, but Digits has the samples 0 to 1,796; "
            "a comma includes both ends: write 0,1796 or 0:1797",
        ),
        (
            "dianne learn Encoder Digits",
            "the network's result of [4] cannot be compared with the target of [10]: 4 and 10 values",
        ),
        (
            "dianne learn Encoder,Decoder Digits strategy=VariationalAutoEncoder Decoder.latentDims=3",
            "Decoder.latent takes samples of [3], got [2]",
        ),
        (
            "dianne learn MLP Digits tag=a:b",
            "'a:b' cannot be a tag: a tag has 1 to 100 characters without blanks and without : , ~ =; "
            "found ':'",
        ),
        (
            "dianne evaluate MLP Digits",
            "evaluate needs tag=..., to know which weights to judge; tags of MLP: none",
        ),
        (
            "dianne deploy MLP tag=vae",
            "MLP has no tag 'vae'; nothing is stored for MLP in models/",
        ),
        ("dianne deploy MLP", "deploy: 1 problem\n  option 'tag': is missing and has no default"),
        (
            "dianne forward MLP random=3",
            "'MLP' is not deployed\n  deploy it with: dianne deploy MLP tag=...",
        ),
        (
            "dianne describe Encoder latentDims=0",
            "{networks}/Encoder.yaml: 2 problems\n"
            "  {networks}/Encoder.yaml:12:35: params (Linear): output: expected more than 0, found 0 "
            "(from ${{2 * latentDims}})\n"
            "  {networks}/Encoder.yaml:13:47: latent (MultivariateGaussian): size: expected more than 0, "
            "found 0 (from ${{latentDims}})",
        ),
    ],
)  # fmt: skip
def test_a_wrong_command_gets_one_message(run: Run, command: str, message: str) -> None:
    from dianne.workspace import shipped

    result = run(command, code=2)
    assert result.stderr == f"error: {message.format(networks=shipped('networks'))}\n"
    assert result.stdout == ""


def test_without_files_and_network_the_command_ends_within_seconds(run: Run, folder: Path) -> None:
    begin = time.monotonic()
    descriptor = """
type: IDX
inputs: [images]
targets: [labels]
files:
  images: {urls: ["http://127.0.0.1:9/images.gz"], sha256: "HASH"}
  labels: {urls: ["http://127.0.0.1:9/labels.gz"], sha256: "HASH"}
""".replace("HASH", "0" * 64)
    (folder / "datasets").mkdir()
    (folder / "datasets" / "Far.yaml").write_text(descriptor)
    result = run("dianne learn MLP Far", code=1, DIANNE_DATASETS="here", DIANNE_CACHE="kept")
    assert result.stderr == (
        "error: Far: the files 'images' and 'labels' could not be found\n"
        "  looked in (also in a folder Far/ there):\n"
        "    datasets/\n"
        "    here/\n"
        "    kept/\n"
        "  could not be downloaded:\n"
        "    http://127.0.0.1:9/images.gz: Connection refused\n"
        "  put the files into one of these places, name their folder in DIANNE_DATASETS, or start with the "
        "dataset Digits, which needs no files\n"
    )
    assert time.monotonic() - begin < 20


def test_ctrl_c_stores_what_was_learned(run: Run, folder: Path) -> None:
    job = subprocess.Popen(
        [str(DIANNE), "learn", "MLP", "Digits", "tag=cut", "maxIterations=100000000", "traceInterval=1"],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert job.stderr is not None
    for line in job.stderr:
        if line.startswith("iteration "):
            break
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 130
    assert err.endswith("stopped by SIGINT\n")
    assert out.startswith("stored MLP:cut after ")
    run("dianne deploy MLP tag=cut")


def test_a_loss_that_is_no_number_stops_the_job_and_keeps_good_weights(run: Run) -> None:
    words = "dianne learn Encoder,Decoder Digits strategy=VariationalAutoEncoder tag=vae"
    run(f"{words} maxIterations=30")
    result = run(f"{words} learningRate=1e30", code=1)
    assert result.stderr.splitlines()[-2].startswith(
        "error: the loss is nan in iteration 2; the first values "
    )
    assert run("dianne deploy Decoder tag=vae").stdout == (
        "deployed Decoder: Decoder:vae [2] -> [28, 28], 30 iterations on Digits\n"
    )


def test_output_that_nobody_reads_is_no_fault(folder: Path) -> None:
    left = subprocess.run(
        f"'{DIANNE}' strategies VariationalAutoEncoder | head -n 1",
        shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=os.environ,
    )  # fmt: skip
    assert left.stdout == "VariationalAutoEncoderLearningStrategy\n"
    assert left.stderr == ""
