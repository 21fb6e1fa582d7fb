"""The uncertainty of a world model: small heads that predict the next latent, and how much they disagree.

Each head learned from a bootstrap sample of the episodes, so that they agree where there were many of them
and differ where there were few. They are trained after the dynamics, of either kind, and see their h alone.

Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation using deep
ensembles"; Sekar et al. 2020, "Planning to explore via self-supervised world models"."""

from dreamduck.world_model.ensemble.heads import LIMIT_STEPS, Ensemble, EnsembleConfig

__all__ = ["LIMIT_STEPS", "Ensemble", "EnsembleConfig"]
