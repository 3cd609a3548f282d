"""What flows through the trained part of a network: images, mixed images, kept activations."""
