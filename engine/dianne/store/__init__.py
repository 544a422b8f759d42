"""Weights under tags.

A tag of a network is a small file that names a manifest; the manifest (JSON) says where the weights came
from and names a blob (safetensors). Manifests and blobs are named by the sha256 of their content and never
change, so moving a tag is one atomic step, and its history is the chain of parents.

    models/refs/Encoder/vae             the sha256 of a manifest
    models/manifests/ab/abcd….json      network, job, iteration, loss, parent, blob
    models/blobs/12/1234….safetensors   the weights
    models/manifests/ab/abcd….pruned    an empty file: gc has removed this manifest, and histories end there
"""

from dianne.store.addresses import check_address as check_address
from dianne.store.addresses import check_tag as check_tag
from dianne.store.errors import MisfitError as MisfitError
from dianne.store.errors import StoreError as StoreError
from dianne.store.manifest import FORMAT as FORMAT
from dianne.store.manifest import Manifest as Manifest
from dianne.store.store import Store as Store
from dianne.store.weights import load_weights as load_weights
from dianne.store.weights import named_weights as named_weights
