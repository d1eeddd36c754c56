"""How many calls does it carry, and what does a call cost? Measured against bars that are told beside the figures.

callers → peer → worker alone, two workers, the real Asterisk: a module each; figures and table are the same for all.
"""

import hearline  # noqa: F401  (first of all: it keeps numpy to one thread)
