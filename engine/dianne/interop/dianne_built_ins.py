"""The composites that come with DIANNE, and the networks here that compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """A composite that comes with DIANNE, and the network here that computes the same.

    Attributes:
        type: the network's name.
        keys: its parameters that count, with what a blank one means; None for one that must be given.
        weights: the modules with weights by our names, in the order of the composite's vector, and their ids.
    """

    type: str
    keys: Mapping[str, int | str | None]
    weights: Mapping[str, str]


_INCEPTION = dict.fromkeys(("noInputPlanes", "1x1", "3x3reduce", "3x3", "5x5reduce", "5x5", "poolproj"))
BUILT_INS: dict[str, BuiltIn] = {
    "Residual": BuiltIn(
        "Residual",
        dict.fromkeys(("noInputPlanes", "noOutputPlanes")),
        {
            "bn2": "ff31285b-7337-23c3-26c3-1f6b9428a9b6",
            "conv2": "015e1346-790f-4204-e20b-bee76032fbd4",
            "conv1": "50857d99-74c7-a324-7231-ae0c8ce005f9",
            "bn1": "08f8f598-cf34-3c99-7aec-543a67c12c45",
        },
    ),
    "Residual_b": BuiltIn(
        "Residual_b",
        dict.fromkeys(("noInputPlanes", "noFilters", "noOutputPlanes")),
        {
            "conv1": "635c9ad6-09fa-2cca-46b4-0969654d7c23",
            "bn3": "19cd74a5-9e4e-6f83-eeb2-411589c3d82c",
            "conv2": "22ef2762-e861-87da-10d4-9bb4171068a9",
            "bn1": "79460a5d-9d19-5638-73ea-bac9b639b056",
            "conv3": "139f641a-e46a-ca86-c9c1-e58125698337",
            "bn2": "ea75f9d9-6853-bf12-6fa0-14235bc95c5b",
        },
    ),
    "ConvLayer": BuiltIn(
        "ConvLayer",
        {
            "activation": None, "noInputPlanes": None, "noOutputPlanes": None, "kernelWidth": None,
            "kernelHeight": 0, "kernelDepth": 0, "strideX": 1, "strideY": 1, "strideZ": 1,
            "padX": 0, "padY": 0, "padZ": 0,
        },
        {
            "activation": "da3995ca-3fc0-3e5f-fc90-568c8ccf487f",
            "bn": "c871f226-772f-3b96-bd4e-6537ff345132",
            "conv": "a4745ffd-401c-96d8-9e1a-1b8baa457060",
        },
    ),
    "Inception_v1": BuiltIn(
        "DianneInception_v1",
        _INCEPTION,
        {
            "conv3": "93964d41-25ab-be58-f41f-14e5770a7bb4",
            "reduceBn3": "2291b462-223c-f738-ce28-3e458a589143",
            "conv5": "ffbae280-adb4-3652-ec0d-0968e8ea0bd6",
            "reduceBn5": "aaa92ec4-4d7b-ed79-46c8-8c90bad20b0f",
            "reduce5": "45f5ea18-8dcd-2563-39f6-d2cb7a37a991",
            "conv1": "863c1560-9e71-053b-a7f7-634ba0bbaea8",
            "reduce3": "38346778-636b-bbd2-e6f4-31ca49630135",
            "convPool": "d273445a-2056-fb11-5b5b-c465a6fcdc32",
        },
    ),
    "Inception_v2": BuiltIn(
        "DianneInception_v2",
        _INCEPTION,
        {
            "conv3": "93964d41-25ab-be58-f41f-14e5770a7bb4",
            "reduceBn3": "2291b462-223c-f738-ce28-3e458a589143",
            "conv5": "ffbae280-adb4-3652-ec0d-0968e8ea0bd6",
            "reduceBn5": "aaa92ec4-4d7b-ed79-46c8-8c90bad20b0f",
            "bn5": "85598796-adc9-45f0-fa55-92e04387738e",
            "bn3": "ab455c37-8574-bb41-ad72-0b61c49a5a61",
            "bnPool": "d603e872-5b3e-a8d0-8d86-c4ab088bbe6f",
            "reduce5": "45f5ea18-8dcd-2563-39f6-d2cb7a37a991",
            "conv1": "863c1560-9e71-053b-a7f7-634ba0bbaea8",
            "reduce3": "38346778-636b-bbd2-e6f4-31ca49630135",
            "bn1": "d9dd9006-2c7a-bd15-46ec-a286a3e71b44",
            "convPool": "d273445a-2056-fb11-5b5b-c465a6fcdc32",
        },
    ),
    "Fractal-3": BuiltIn(
        "Fractal-3",
        dict.fromkeys(("noInputPlanes", "noOutputPlanes")),
        {
            "b.bn": "76da7981-5183-c336-9ae2-d31eec6e913a",
            "c1.conv": "a1f3e961-eded-5262-bd2d-65dca17b62d1",
            "c2.conv": "c0a9f90a-30c6-d659-e885-7ee9691ca0c7",
            "c2.bn": "fd44ab75-1862-601c-5e78-1e217a93e1d4",
            "a.bn": "17c2af55-d95d-effe-45e1-1c966c362021",
            "c1.bn": "b85c4a74-3db6-5235-cba5-3311f83c6f7b",
            "d.conv": "713d9d1c-84d2-39ae-8485-daa2374cd8ae",
            "e1.bn": "3fdf423d-5d29-2edd-3a3b-f7896e86f9c0",
            "e1.conv": "010a3cda-717f-85cb-e250-3f8447af9fbb",
            "b.conv": "4c679da6-498c-2c4e-b26a-1ae79edd76f5",
            "a.conv": "b4e62a78-0f13-a6b7-15e1-aa89632a2992",
            "e2.bn": "7182c3da-e304-f2ce-84d8-52d13766428e",
            "e2.conv": "2681951e-f7aa-59e8-417e-21f1d02740c1",
            "d.bn": "f39d6101-c3c9-5000-4fc8-8dc6888546ab",
        },
    ),
    "LSTM": BuiltIn("LSTMCell", {"output": None}, {"gates": "83b911ff-a309-1664-549b-7de8bfe4823a"}),
    "GRU": BuiltIn(
        "GRUCell",
        {"output": None},
        {
            "proposal": "22d899aa-0f2f-8722-3834-ed43b5ea17a9",
            "gates": "0ed35e10-1182-17e9-fc74-5ec3006afeae",
        },
    ),
}  # fmt: skip
