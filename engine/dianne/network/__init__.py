"""Networks: YAML files, checked graphs with shapes, and the `torch.nn.Module`s built from them."""
