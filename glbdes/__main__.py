"""`python -m glbdes` is the command line."""

from glbdes.cli.main import main

if __name__ == "__main__":
    main()
