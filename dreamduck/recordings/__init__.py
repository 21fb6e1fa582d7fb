"""Episodes on disk: who drives them, how they are kept, whether they are good enough."""
