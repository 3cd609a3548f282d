"""Terms beside the loss that hold a trunk to what its pretraining knew."""
