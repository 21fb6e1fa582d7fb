"""Meshes and images, as the renderer reads them."""
