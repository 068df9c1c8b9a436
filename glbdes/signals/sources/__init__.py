"""Public data as users download them: a module a source, with its columns and units as a table, by header name.

A source's `read` gives `Piece`s: its own zone, its own step, our units, UTC. What becomes of pieces is in
`glbdes.signals.imports`.
"""
