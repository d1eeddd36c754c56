"""How many calls does Hearline carry, and what does a call cost? The figures are measured against bars.

callers → peer → worker alone, two workers, the real Asterisk: one module each. All share figures and table.
"""

import hearline  # noqa: F401  (imported first, since it keeps numpy to one thread)
