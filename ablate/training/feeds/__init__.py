"""What flows through the trained part of a network: images, mixed images or kept activations, in the order of an epoch."""
