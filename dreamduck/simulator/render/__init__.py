"""What a car's camera sees, drawn without OpenGL."""
