"""What tests and drills of the service need: a real S3 server, faults on the way to it, small data.

Nothing here is imported by the service itself.
"""
