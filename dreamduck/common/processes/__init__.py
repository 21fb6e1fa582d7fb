"""Work in several processes: MPI ranks, helper processes, and what they share of the machine."""
