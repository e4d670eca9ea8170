"""The topologies, one file each. They hold no logic: stages are in `jobs.stages`, operators in `operators`, the domain in `sentinel`."""
