"""The theory of Littwin et al. 2024 as functions; equations and units in each docstring."""
