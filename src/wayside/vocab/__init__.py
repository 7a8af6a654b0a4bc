"""The words everyone speaks: frozen values and errors. Imports nothing of ours."""
