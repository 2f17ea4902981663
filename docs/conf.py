"""Settings of the documentation, which `make docs` builds into build/docs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import nfbench

project = "nfbench"
author = "the nfbench authors"
copyright = f"2026, {author}"
version = release = nfbench.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "generated_pages",
]
exclude_patterns = ["_ext", "_static"]
default_role = "py:obj"  # a name in single backticks links to its entry in the reference, if it has one
smartquotes_action = "D"  # only dashes: quotes and ... stay as they are typed
nitpicky = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_inherit_docstrings = False  # a contract is described where it is declared
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"nfbench {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False
