"""What a study still has to do, what that will take, and how a storage stands. Nothing runs."""
