"""Builds the documentation: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "geventconnpool"
author = "the geventconnpool developers"
project_copyright = "the geventconnpool developers"
release = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "geventconnpool/__init__.py").read_text(), re.M
)[1]
version = release

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

# Every reference to a public name must lead somewhere. Names of others have no pages here, nor
# have those of our inner modules, which signatures mention.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!geventconnpool).*"),
    ("py:.*", r"geventconnpool\.(?!testing\.[A-Z])[a-z_]+\..*"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True

pygments_style = "default"
highlight_language = "python"
html_theme = "furo"
html_title = f"geventconnpool {release}"
html_copy_source = False
html_show_sphinx = False
