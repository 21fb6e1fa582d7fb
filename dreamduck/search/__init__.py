"""Evolution of controllers: CMA-ES, its search space, a run."""
