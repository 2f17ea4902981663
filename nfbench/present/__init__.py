"""Tables, plots and reports. They show what `analysis` found and compute nothing."""
