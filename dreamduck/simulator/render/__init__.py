"""The image of a car's camera, drawn without OpenGL."""
