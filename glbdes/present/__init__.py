"""How it is shown: tables in a terminal, figures, one page."""
