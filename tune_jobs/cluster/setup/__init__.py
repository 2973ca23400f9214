"""What a cluster needs before ``ray up``: parts of an AWS account, a file, this software."""
