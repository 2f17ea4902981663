"""Where the files of data sets come from: folders, downloads, file formats."""
