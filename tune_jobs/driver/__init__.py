"""What runs trials on Ray Tune: phases and searches, experiments, stops, what is shown."""
