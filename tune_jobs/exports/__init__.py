"""Export of records to TensorBoard and MLflow: each target is a file."""
