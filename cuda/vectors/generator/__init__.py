"""The float64 generator of the conformance vectors; shares no code with the kernels or the packages that they test."""
