"""Other people's datasets, one file each, in the format their authors released; `catalogue.READERS` lists them by name."""
