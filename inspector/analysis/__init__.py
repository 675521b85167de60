"""Where the gradient goes and why: every analysis gives arrays with labels that plot and export themselves."""
