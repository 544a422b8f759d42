"""Networks as ONNX files, both ways; `import onnx` in these modules is the package of that name."""

from dianne.interop.onnx import read as read
from dianne.interop.onnx import write as write
