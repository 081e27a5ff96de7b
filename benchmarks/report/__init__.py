"""Reports of one result: Markdown, JSON, a page that needs nothing else, and pictures; and what changed between two.

`python -m benchmarks.report make FILE` and `python -m benchmarks.report compare OLD NEW`.
"""
