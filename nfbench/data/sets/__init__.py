"""One file a data set; each registers its protocols and is found by being here."""
