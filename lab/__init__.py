"""A PyTorch lab in which architecture choices are compared, and the comparison can be believed.

What lives here: the verbs (`cli`, `app`), the schema (`config`) and the two places that join the parts: `run` (one run)
and `sweep` (many). What never may: anything imported by accident of `import lab`; torch is imported where it is used.
"""

__version__ = "0.1.0"
