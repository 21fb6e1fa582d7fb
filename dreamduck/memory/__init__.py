"""The MDN-RNN: what comes next."""
