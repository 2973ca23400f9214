"""An AWS account for the lab: instances that are its machines, and what policies allow."""
