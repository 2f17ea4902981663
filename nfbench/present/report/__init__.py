"""The report: everything that stored records show, in one HTML file, and as Markdown and LaTeX."""
