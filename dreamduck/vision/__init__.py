"""The variational autoencoder: a frame becomes a small vector, and back."""
