"""The controller: runs the pipeline on a Kubernetes cluster, one Indexed Job per attempt of a stage.

It is level-based: it lists the current state, decides in pure functions, and applies the decision. The store records
which stages are done, and the status of Jobs and pods shows what is running. The controller keeps no state of its own.
"""
