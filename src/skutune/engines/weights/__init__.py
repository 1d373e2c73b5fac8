"""Where a model's weights are: on the hub, in a folder, in the store, or mirrored from one to the other."""
