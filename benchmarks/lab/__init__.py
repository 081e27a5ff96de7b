"""The benchmark lab: describes a machine, measures its limits, and times three languages side by side.

`python -m benchmarks.lab run` from the root of the project; `--help` lists the rest.
"""
