"""The report of a run as one HTML file: figures counted from rows, charts drawn as SVG, a page that needs no network.

Everything here works on rows and manifests that are handed in; `stages.report` reads them from the store.
"""
