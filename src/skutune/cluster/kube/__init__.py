"""The Kubernetes API. No other package imports the Kubernetes client."""
