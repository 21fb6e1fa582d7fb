"""Evolution of controllers: CMA-ES, the space it searches, a run."""
