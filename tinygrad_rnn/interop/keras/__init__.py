"""Models that Keras saved, read with h5py alone."""
