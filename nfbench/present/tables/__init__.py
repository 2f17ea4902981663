"""Tables of experiments and of timings, as Markdown, LaTeX, CSV or JSON."""
