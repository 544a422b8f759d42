"""Networks that ship with dianne, one YAML file each."""
