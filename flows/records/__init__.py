"""The records: who published, held, approved or retired which run, in a chain that shows what was altered afterwards.

``chain`` is the append-only list, ``standing`` what it says about each run, ``publication`` the only code that moves a run
and records it, ``check`` and ``verify`` compare what lies on disk with what was recorded.
"""
