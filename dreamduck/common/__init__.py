"""What every stage shares: configuration, errors, files, seeds, processes, logs."""
