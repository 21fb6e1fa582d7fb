"""The world model: a VAE for frames, an MDN-RNN for what comes next, and dreams."""
