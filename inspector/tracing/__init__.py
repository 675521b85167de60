"""What is known of a run, without a picture: gradients and values along time, names, decay, what is not finite."""
