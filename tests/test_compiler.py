"""The compiler of torch stays away until something is compiled."""

import subprocess
import sys

JOB = ["learn", "MLP", "Digits", "hidden=4", "tag=t", "maxIterations=2"]
SCRIPT = """
import sys
from dianne.cli import main

sys.argv = ["dianne", *{words}]
try:
    main()
finally:
    print([name for name in ("torch._dynamo.eval_frame", "sympy.core") if name in sys.modules])
"""
COMPILING = """
import importlib.util
import inspect
import sys
from dianne.compiler import put_off

put_off()
import torch
import torch._dynamo

early = torch._dynamo
from torch.fx.experimental.symbolic_shapes import guard_or_false as early_guess
assert early_guess(True) is True
assert "sympy.core" not in sys.modules
assert early.disable(len) is len
assert inspect.getmodule(lambda: 1)  # looks at all modules
assert not hasattr(early, "__wrapped__")
assert importlib.util.find_spec("sympy").name == "sympy"
assert "sympy.core" not in sys.modules
network = torch.nn.Linear(2, 3)
optimizer = torch.optim.Adam(network.parameters())
network(torch.ones(4, 2)).sum().backward()
optimizer.step()
assert torch._dynamo is early
compiled = torch.compile(network, backend="eager")
torch.testing.assert_close(compiled(torch.ones(4, 2)), network(torch.ones(4, 2)))
assert torch._dynamo is not early
import torch._dynamo.config as config
assert early.config is config
assert early.disable is torch._dynamo.disable
from torch.fx.experimental.symbolic_shapes import ShapeEnv
unsure = ShapeEnv().create_unbacked_symint() > 3
assert early_guess(unsure) is False  # kept since before there were formulas, it knows them now
import sympy
assert sympy.__version__
print("fine")
"""


def run(script: str, folder) -> str:
    """The last line that a script prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_job_that_compiles_nothing_does_not_load_it(tmp_path):
    assert run(SCRIPT.format(words=JOB), tmp_path) == "[]"


def test_it_is_there_for_who_asks(tmp_path):
    assert run(COMPILING, tmp_path) == "fine"
