from tests.display import display, x_server  # noqa: F401  (fixtures)
