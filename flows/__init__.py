"""When and in what order: the flows, their steps and the command line."""
